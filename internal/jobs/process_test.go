package jobs

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThisProcessIsNotGone(t *testing.T) {
	t.Parallel()
	p := thisProcess("me")
	require.Equal(t, "me", p.Name)
	require.Equal(t, os.Getpid(), p.PID)
	if p.Place == "" {
		require.Empty(t, p.Started, "elsewhere than on Linux nothing is claimed")
		return
	}
	require.NotEmpty(t, p.Started)
	require.False(t, processGone(p.PID, p.Started))
	require.True(t, processGone(p.PID, p.Started+"0"), "the PID was given to another")
	require.False(t, processGone(p.PID, ""), "nothing is known of it")
	require.False(t, processGone(0, p.Started))
}

// A process that ended is gone before anybody waits for it, and after.
func TestAChildThatEndedIsGone(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "cat")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	pid := cmd.Process.Pid
	started, ok := pidStarted(pid)
	if !ok { // no /proc: nobody is ever gone for certain
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Wait())
		require.False(t, processGone(pid, ""))
		return
	}
	require.False(t, processGone(pid, started))

	require.NoError(t, in.Close())

	require.Eventually(t, func() bool { return processGone(pid, started) }, waitAtMost, pollEvery, "a zombie has ended")
	require.NoError(t, cmd.Wait())
	require.True(t, processGone(pid, started))
}
