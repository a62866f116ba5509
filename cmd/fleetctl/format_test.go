package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", 60 * time.Second: "1m", 200 * time.Second: "3m20s",
		26 * time.Minute: "26m", 119 * time.Minute: "119m", 2 * time.Hour: "2h", 150 * time.Minute: "2h30m",
		47 * time.Hour: "47h", 72 * time.Hour: "3d",
	} {
		require.Equal(t, want, span(d), d)
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	require.Equal(t, "1,234,567", count(1234567))
	require.Equal(t, "-999", count(-999))
	require.Equal(t, "-1,000", count(-1000))
	require.Equal(t, "1 home", things(1, "home"))
	require.Equal(t, "0 homes", things(0, "home"))
	require.Equal(t, "0%", percent(0, 0))
	require.Equal(t, "<0.1%", percent(1, 1_000_000))
	require.Equal(t, "99.9%", percent(999_999, 1_000_000))
	require.Equal(t, "100%", percent(7, 7))
	require.Equal(t, "33.3%", percent(1, 3))
	require.Equal(t, "0.25/s", perSecond(0.25))
	require.Equal(t, "200/s", perSecond(200))
}

// A share that is not all is never shown as all, nor one that is something as nothing.
func TestPercentIsHonest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.Int64Range(1, 10_000_000).Draw(t, "whole")
		part := rapid.Int64Range(0, whole).Draw(t, "part")
		require.Equal(t, part == whole, percent(part, whole) == "100%")
		require.Equal(t, part == 0, percent(part, whole) == "0%")
	})
}

// Ctrl-C works at a prompt.
func TestConfirmCanBeInterrupted(t *testing.T) {
	t.Parallel()
	c := newConsole(t, nil)
	block := make(blockedReader)
	defer close(block)
	c.stdin = block
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.confirm(ctx, "Really?")
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, exitInterrupted, c.fail(err))
}

type blockedReader chan struct{}

func (b blockedReader) Read([]byte) (int, error) {
	<-b
	return 0, nil
}
