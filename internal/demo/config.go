package demo

import (
	"io"
	"net"

	"fleetd/internal/fleet"
)

// The defaults of Config.
const (
	DefaultHomes  = 2000
	DefaultListen = "127.0.0.1:8080"
)

const (
	minHomes = 100 // fewer have no half-way
	maxHomes = 100_000
)

// Config says which demo to run.
type Config struct {
	// Homes is how many homes there are, 100 to 100,000.
	Homes int
	// Listen is the address of the HTTP API.
	Listen string
	// ListenGiven says that somebody chose Listen: it is then an error when it is
	// taken, where otherwise the next free port is used.
	ListenGiven bool
	// Exit ends the demo after the table; otherwise the service stays up until the
	// context ends.
	Exit bool
	// NoKill leaves the worker alone.
	NoKill bool
	// Program is the command line of fleetd, to which `serve` and flags are added.
	Program []string
	// Out gets the story; a terminal gets a live bar.
	Out io.Writer
}

// Validate checks what can be checked without touching anything.
func (c Config) Validate() error {
	if c.Homes < minHomes || c.Homes > maxHomes {
		return fleet.Invalidf("--homes", "%d is out of range: use %d to %d", c.Homes, minHomes, maxHomes)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fleet.Invalidf("--listen", "%q is no address: use host:port, such as %s", c.Listen, DefaultListen)
	}
	return nil
}
