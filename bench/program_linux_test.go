package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// part tells the test binary what to be: a bench that starts a program, or a program
// that waits for ever.
const part = "BENCH_TEST_PART"

func TestMain(m *testing.M) {
	switch os.Getenv(part) {
	case "bench":
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{part + "=program"}
		wait, err := spawn(cmd)
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(os.Stdout, cmd.Process.Pid)
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		fmt.Fprintln(os.Stdout, "nobody reads this")
		_ = wait()
	case "program":
		for {
			_ = syscall.Pause()
		}
	default:
		os.Exit(m.Run())
	}
}

// A bench that is killed, or whose reader has gone, leaves no program behind.
func TestAProgramEndsWithItsBench(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(bench *exec.Cmd, stdin io.Writer, stdout io.Closer) error{
		"killed": func(bench *exec.Cmd, _ io.Writer, _ io.Closer) error { return bench.Process.Kill() },
		"its reader gone": func(_ *exec.Cmd, stdin io.Writer, stdout io.Closer) error {
			if err := stdout.Close(); err != nil {
				return err
			}
			_, err := io.WriteString(stdin, "\n")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bench := exec.CommandContext(t.Context(), os.Args[0])
			bench.Env = []string{part + "=bench"}
			stdin, err := bench.StdinPipe()
			require.NoError(t, err)
			stdout, err := bench.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, bench.Start())
			line, err := bufio.NewReader(stdout).ReadString('\n')
			require.NoError(t, err)
			pid, err := strconv.Atoi(strings.TrimSpace(line))
			require.NoError(t, err)
			require.False(t, gone(pid))

			require.NoError(t, end(bench, stdin, stdout))

			require.Eventually(t, func() bool { return gone(pid) }, 10*time.Second, 10*time.Millisecond)
			require.ErrorContains(t, bench.Wait(), "signal: ")
		})
	}
}

// gone reports whether a process has ended; a zombie has.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}
