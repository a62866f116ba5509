package simulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Listen listens on a TCP address that must be this machine's own: 127.0.0.1,
// ::1 or localhost. A simulator has no secrets worth the name, and its code
// server and controls no authentication.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen %q: must be host:port, such as 127.0.0.1:8090: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("listen %q: must be a loopback address, such as 127.0.0.1:8090: "+
			"the simulator is open to whoever can reach it", address)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen %q: %w; choose another port, or :0 for any free one", address, err)
	}
	if tcp, ok := ln.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() { // A hosts file may say what it likes of localhost.
		_ = ln.Close()
		return nil, fmt.Errorf("listen %q: is %s, not a loopback address", address, ln.Addr())
	}
	return ln, nil
}

// Serve answers on ln until ctx ends, then finishes what is under way, at most
// five seconds. It closes ln and s.
func (s *Simulator) Serve(ctx context.Context, ln net.Listener) error {
	defer s.Close()
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err := server.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		stopped <- err
	})
	err := server.Serve(ln)
	if stop() { // ctx has not ended: the server did by itself.
		return fmt.Errorf("serve simulator: %w", err)
	}
	if err := <-stopped; err != nil {
		return fmt.Errorf("stop simulator: %w", err)
	}
	return nil
}
