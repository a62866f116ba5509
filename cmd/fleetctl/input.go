package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// maxSecret is far more than any token or client secret has.
const maxSecret = 64 << 10

// oneArg takes exactly one argument, into dst.
func oneArg(name string, dst *string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := nameArgs(name)(cmd, args); err != nil {
			return err
		}
		if *dst = args[0]; *dst == "" {
			return usagef("%s is empty", name)
		}
		return nil
	}
}

// open opens a file that a flag or an argument names; "-" is stdin, which only one
// of them can read.
func (p *program) open(what, path string) (io.ReadCloser, error) {
	if path == "-" {
		if p.stdinBy != "" && p.stdinBy != what {
			return nil, bothStdin(p.stdinBy, what)
		}
		p.stdinBy = what
		return io.NopCloser(p.stdin), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %s is a folder, not a file", what, path)
	}
	return f, nil
}

// secret reads a secret from a file or stdin. Line ends around it are dropped;
// errors never quote what was read.
func (p *program) secret(ctx context.Context, flag, path string) (string, error) {
	what := "--" + flag
	f, err := p.open(what, path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	b, err := await(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(f, maxSecret+1)) })
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	b = bytes.TrimSpace(b)
	switch {
	case len(b) == 0:
		return "", fmt.Errorf("%s: %s holds nothing", what, fileName(path))
	case len(b) > maxSecret:
		return "", fmt.Errorf("%s: %s is larger than %d KiB: is it the right file?", what, fileName(path), maxSecret>>10)
	case bytes.ContainsAny(b, "\r\n"):
		return "", fmt.Errorf("%s: %s has more than one line: is it the right file?", what, fileName(path))
	}
	return string(b), nil
}

// secretPair reads two secrets, each from the file that its flag names; empty is not given.
// That both cannot be stdin is said before anything of it is read.
func (p *program) secretPair(ctx context.Context, flag, path, otherFlag, otherPath string) (secret, other string, err error) {
	if path == "-" && otherPath == "-" {
		return "", "", bothStdin("--"+flag, "--"+otherFlag)
	}
	if path != "" {
		if secret, err = p.secret(ctx, flag, path); err != nil {
			return "", "", err
		}
	}
	if otherPath != "" {
		if other, err = p.secret(ctx, otherFlag, otherPath); err != nil {
			return "", "", err
		}
	}
	return secret, other, nil
}

func bothStdin(what, other string) error {
	return usagef("%s and %s cannot both read stdin; put one of them into a file", what, other)
}

// secrets reads those of an LWA client.
func (p *program) secrets(ctx context.Context, clientSecretFile, refreshTokenFile string) (clientSecret, refreshToken string, err error) {
	return p.secretPair(ctx, "client-secret-file", clientSecretFile, "refresh-token-file", refreshTokenFile)
}

func fileName(path string) string {
	if path == "-" {
		return "stdin"
	}
	return path
}

// confirm asks on the terminal. Only "y" and "yes" are yes. The caller has made
// sure that there is a terminal to ask on.
func (p *program) confirm(ctx context.Context, question string) (bool, error) {
	_, _ = fmt.Fprintf(p.stderr, "%s [y/N] ", question)
	line, err := await(ctx, func() (string, error) { return bufio.NewReader(p.stdin).ReadString('\n') })
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	if !strings.HasSuffix(line, "\n") {
		_, _ = fmt.Fprintln(p.stderr)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// await does something that cannot be interrupted, such as reading a terminal,
// and stops waiting for it when ctx ends: Ctrl-C must work at a prompt.
func await[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	ch := make(chan result, 1)
	go func() {
		v, err := do()
		ch <- result{v, err}
	}()
	select {
	case r := <-ch:
		return r.v, r.err
	case <-ctx.Done():
		var zero T
		return zero, context.Cause(ctx)
	}
}

// canAsk reports whether there is a person to ask.
func (p *program) canAsk() bool { return p.terminal(p.stdin) && p.terminal(p.stderr) }

// consent is that of a person to what cannot simply be undone, and why.
type consent struct {
	yes    bool
	reason string
}

func (c *consent) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	reasonFlag(cmd, &c.reason)
}

// ask asks for it, unless --yes gives it or there is nobody to ask; without it the
// command ends with the error.
func (c *consent) ask(ctx context.Context, p *program, question string, args ...any) error {
	if c.yes || !p.canAsk() {
		return nil
	}
	if ok, err := p.confirm(ctx, fmt.Sprintf(question, args...)); err != nil || !ok {
		return declined(err)
	}
	return nil
}

// declined is the end of a command that a person said no to.
func declined(err error) error {
	if err != nil {
		return err
	}
	return &codeError{code: exitError, msg: "nothing was done"}
}
