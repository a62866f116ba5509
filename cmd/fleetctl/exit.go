package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"fleetd/internal/client"
)

// The exit codes, a contract with scripts.
const (
	exitDone        = 0
	exitError       = 1
	exitUsage       = 2
	exitDifference  = 3   // plan --detailed-exitcode found something to change, drift list --exit-code some drift
	exitDenied      = 4   // not authenticated or not allowed
	exitShort       = 5   // a watched rollout or audit stopped or ended short of success
	exitRunning     = 8   // still running when --timeout passed
	exitInterrupted = 130 // Ctrl-C, as shells say it
)

const (
	tokenMend = `Make one where fleetd runs with "fleetd token create --name NAME --role operator", then keep it with
"fleetctl context set NAME --server URL --token-file FILE", or set FLEETCTL_TOKEN.`
	roleMend   = `The token's role does not allow this: use one of a role that does (viewer, operator, admin).`
	serverMend = `Start it with "fleetd serve", or name another server with --server, FLEETCTL_SERVER or "fleetctl context set".`
)

// usageError says that the command line is wrong.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

// usagef makes a usageError.
func usagef(format string, args ...any) error { return &usageError{msg: fmt.Sprintf(format, args...)} }

// asUsage makes a usage error of what cobra says about a command line.
func asUsage(err error) error {
	if _, ok := errors.AsType[*usageError](err); ok {
		return err
	}
	return &usageError{msg: err.Error()}
}

// deniedError says that this side has nothing to authenticate with.
type deniedError struct{ msg, mend string }

func (e *deniedError) Error() string { return e.msg }

// codeError ends the program with a code. Its message may be empty: all was said.
type codeError struct {
	code int
	msg  string
}

func (e *codeError) Error() string { return e.msg }

// fail tells of an error on stderr and returns the exit code that belongs to it.
func (p *program) fail(err error) int {
	if err == nil {
		return exitDone
	}
	var (
		code  *codeError
		usage *usageError
		deny  *deniedError
		api   *client.Error
		away  *client.UnreachableError
	)
	switch {
	case errors.As(err, &code):
		if code.msg != "" {
			p.printError(code.msg, "")
		}
		return code.code
	case errors.As(err, &usage):
		p.printError(usage.msg, `Run "fleetctl --help", or --help after any command, for usage.`)
		return exitUsage
	case errors.As(err, &deny):
		p.printError(deny.msg, deny.mend)
		return exitDenied
	case errors.As(err, &api):
		return p.failAPI(err, api)
	case errors.As(err, &away):
		mend := serverMend
		if away.Sent {
			mend = "Whether it was done is not known: look before you do it again."
		}
		p.printError(plainCause(err, away), mend)
		return exitError
	case errors.Is(err, context.Canceled):
		p.printError("interrupted", "")
		return exitInterrupted
	}
	p.printError(err.Error(), "")
	return exitError
}

func (p *program) failAPI(err error, api *client.Error) int {
	mend := ""
	if api.Status == 401 {
		mend = tokenMend
	} else if api.Status == 403 && api.Detail == "" {
		mend = roleMend
	}
	msg, details := err.Error(), api.Details
	if len(details) == 1 && strings.HasSuffix(msg, details[0].Message) && details[0].Value == "" {
		// One fault with a place: a sentence says it all.
		if at := details[0].Location; at != "" && !strings.Contains(msg, at+": ") {
			msg = at + ": " + msg
		}
		details = nil
	}
	p.printError(msg, "")
	printFaults(p.stderr, details)
	p.note("%s", mend)
	if api.Denied() {
		return exitDenied
	}
	return exitError
}

// printFaults prints each of several things wrong with one request on a line.
func printFaults(w io.Writer, details []client.Fault) {
	for _, d := range details {
		line := clean(d.Message)
		if d.Location != "" {
			line = clean(d.Location) + ": " + line
		}
		if d.Value != "" {
			line += fmt.Sprintf(" (got %s)", quote(d.Value))
		}
		_, _ = fmt.Fprintf(w, "  %s\n", line)
	}
}

// printError prints what went wrong and, on lines of its own, how to mend it.
func (p *program) printError(msg, mend string) {
	_, _ = fmt.Fprintf(p.stderr, "%s %s\n", p.paint(p.stderr, red, "error:"), cleanText(msg))
	p.note("%s", mend)
}

// note prints a line to stderr; an empty one is not printed.
func (p *program) note(format string, args ...any) {
	if msg := fmt.Sprintf(format, args...); msg != "" {
		_, _ = fmt.Fprintln(p.stderr, cleanText(msg))
	}
}

// plainCause says the usual reasons for an unreachable server in words.
func plainCause(err error, away *client.UnreachableError) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("cannot reach fleetd at %s: nothing listens there (connection refused)", away.Server)
	case errors.As(err, &dns):
		return fmt.Sprintf("cannot reach fleetd at %s: no address for host %q", away.Server, dns.Name)
	case away.Sent:
		return fmt.Sprintf("no answer from fleetd at %s: %s", away.Server, away.Err)
	}
	return err.Error()
}
