package jobs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"
)

func TestNoMoreComeInThanThereIsRoomFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, r := newDoor(), newRoom(2)
		first, err := d.enter(t.Context(), r)
		require.NoError(t, err)
		_, err = d.enter(t.Context(), r)
		require.NoError(t, err)
		in := make(chan error, 1)
		go func() {
			_, err := d.enter(t.Context(), r)
			in <- err
		}()
		synctest.Wait()
		require.Empty(t, in, "there is no room")
		first()
		require.NoError(t, <-in)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = d.enter(ctx, r)
		require.ErrorIs(t, err, context.Canceled)
		require.Len(t, r, 2)
	})
	require.Equal(t, 1, cap(newRoom(0)), "something can always be done")
}

func TestNothingComesInWhenTheProcessLeaves(t *testing.T) {
	t.Parallel()
	snoozed := func(err error) bool {
		s, ok := errors.AsType[*river.JobSnoozeError](err)
		return ok && s.Duration == 0
	}
	synctest.Test(t, func(t *testing.T) {
		d, r := newDoor(), newRoom(1)
		leave, err := d.enter(t.Context(), r)
		require.NoError(t, err)
		waits := make(chan error, 1)
		go func() {
			_, err := d.enter(t.Context(), r)
			waits <- err
		}()
		synctest.Wait()
		require.False(t, d.left())
		d.Leave()
		require.True(t, snoozed(<-waits), "what waits goes away")
		leave()
		require.True(t, d.left())
		_, err = d.enter(t.Context(), r)
		require.True(t, snoozed(err))
		require.Empty(t, r, "and takes no room along")
	})
}
