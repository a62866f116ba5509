// Command fleetctl is the operator's command: a client of fleetd's HTTP API.
//
// A command is an options struct (its inputs), a new function (flags to options)
// and a run method (the work), one file a noun. Data goes to stdout; progress,
// prompts and notes go to stderr. What is printed and how is in output.go and
// format.go alone, what went wrong and with which exit code in exit.go.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/vbauerster/mpb/v8/cwriter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	code := exec(ctx, os.Stdin, os.Stdout, os.Stderr, os.Args[1:])
	stop()
	os.Exit(code)
}

// exec runs fleetctl in this process and returns its exit code.
func exec(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, args []string) int {
	return newProgram(stdin, stdout, stderr).run(ctx, args)
}

// program is one run of fleetctl: its streams, its surroundings and what is common
// to all commands.
type program struct {
	stdin    io.Reader
	stdout   io.Writer
	stderr   io.Writer
	getenv   func(string) string
	now      func() time.Time
	terminal func(stream any) bool // whether a stream is a terminal

	pollInterval  time.Duration // between two looks of a watch
	plainInterval time.Duration // between two lines of a watch without a terminal
	slowAfter     time.Duration // before a call to Amazon is said to take long

	global  globalOptions
	stdinBy string // the flag that reads stdin: there is only one stdin
	failure error  // what a command returned, as opposed to what cobra did
}

func newProgram(stdin io.Reader, stdout, stderr io.Writer) *program {
	return &program{
		stdin: stdin, stdout: stdout, stderr: stderr,
		getenv: os.Getenv, now: time.Now, terminal: isTerminal,
		pollInterval: time.Second, plainInterval: 10 * time.Second, slowAfter: slowAfter,
	}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && cwriter.IsTerminal(int(f.Fd()))
}
