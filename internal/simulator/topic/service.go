package topic

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The defaults of a Config.
const (
	DefaultRetries    = 3
	DefaultRetryDelay = time.Second
	DefaultTimeout    = 15 * time.Second // as SNS has it
)

// Config is how a Service delivers. The zero value is good.
type Config struct {
	// Retries is how often a failed delivery is tried again. Default 3, as with SNS; less than 0 is never.
	Retries int
	// RetryDelay is the time between attempts, give or take a quarter. Default one second; SNS takes 20.
	RetryDelay time.Duration
	// Timeout is how long an endpoint may take to answer. Default 15 s, as with SNS.
	Timeout time.Duration
	// HistoryCap is how many attempts Deliveries remembers. Default 10,000.
	HistoryCap int
	// Seed decides which deliveries the faults hit.
	Seed uint64
}

// Service is the stand-in. Its methods may be used at the same time. Close it when
// it has hooks.
type Service struct {
	cfg    Config
	client *http.Client
	ctx    context.Context // the life of the deliveries, which no request bounds
	stop   context.CancelFunc
	work   sync.WaitGroup

	mu        sync.Mutex
	authority *authority
	signers   []*signer // by number, from 1
	signer    *signer   // that signs now
	bad       map[As]*signer
	hooks     []*Hook
	made      int // hooks, for their IDs
	history   []Delivery
	attempts  uint64             // recorded so far
	open      map[*delivery]bool // that may yet be attempted
	rolls     uint64
}

// New makes a Service without hooks.
func New(cfg Config) *Service {
	if cfg.Retries == 0 {
		cfg.Retries = DefaultRetries
	}
	if cfg.RetryDelay == 0 {
		cfg.RetryDelay = DefaultRetryDelay
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.HistoryCap == 0 {
		cfg.HistoryCap = 10_000
	}
	s := &Service{cfg: cfg, bad: map[As]*signer{}, open: map[*delivery]bool{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	dialer := &net.Dialer{Control: loopbackOnly}
	s.client = &http.Client{
		Timeout:       cfg.Timeout,
		Transport:     &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

// loopbackOnly refuses to connect to another machine, whatever its name says.
func loopbackOnly(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return &net.AddrError{Err: "not a loopback address", Addr: address}
	}
	return nil
}

// Close gives up what is not delivered and waits for what is under way.
func (s *Service) Close() {
	s.mu.Lock()
	s.stop() // Who holds the lock begins nothing after this.
	s.mu.Unlock()
	s.work.Wait()
	s.client.CloseIdleConnections()
}

// Path is where the handler of a Service belongs.
const Path = "/_sim/sns/"

// Handler answers, under Path: ca.pem, SimpleNotificationService-<n>.pem, confirm
// and unsubscribe, the last two as SNS does.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path+"ca.pem", func(w http.ResponseWriter, _ *http.Request) { sendPEM(w, s.CA()) })
	mux.HandleFunc("GET "+Path+"confirm", s.serveConfirm)
	mux.HandleFunc("GET "+Path+"unsubscribe", s.serveUnsubscribe)
	mux.HandleFunc("GET "+Path+"{file}", s.serveCertificate)
	return mux
}

const certificatePrefix, certificateSuffix = "SimpleNotificationService-", ".pem"

func (s *Service) serveCertificate(w http.ResponseWriter, r *http.Request) {
	name, isPEM := strings.CutSuffix(r.PathValue("file"), certificateSuffix)
	number, isOurs := strings.CutPrefix(name, certificatePrefix)
	n, err := strconv.Atoi(number)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin()
	if !isPEM || !isOurs || err != nil || n < 1 || n > len(s.signers) {
		http.NotFound(w, r)
		return
	}
	sendPEM(w, s.signers[n-1].pem)
}

func sendPEM(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "binary/octet-stream") // as SNS does
	_, _ = w.Write(body)
}

// begin makes authority and signer where there are none yet. The lock is held.
func (s *Service) begin() {
	if s.authority == nil {
		s.authority = newAuthority("Fleetsim", time.Now())
		s.rotate()
	}
}

func (s *Service) rotate() {
	now := time.Now()
	s.signer = s.addSigner(s.authority, signerName, now.Add(-time.Hour), now.AddDate(1, 0, 0))
}

// addSigner gives a leaf the next number, under which its certificate is served.
func (s *Service) addSigner(by *authority, name string, from, until time.Time) *signer {
	added := by.signer(name, from, until, len(s.signers)+1)
	s.signers = append(s.signers, added)
	return added
}

// CA returns the certificate of the authority as PEM: what a verifier is to trust.
func (s *Service) CA() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin()
	return encode(s.authority.root.certificate)
}

// Rotate signs with a new certificate, at a new URL, from now on.
func (s *Service) Rotate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin()
	s.rotate()
}
