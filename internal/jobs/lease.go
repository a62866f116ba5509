package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

const (
	// heartbeatEvery is how often a process says that it lives and looks at the
	// states of the open rollouts.
	heartbeatEvery = 250 * time.Millisecond
	// leaseLength is how long what it saw may be acted on. It is below the second
	// that a pause may take, and far below the ten after which a silent process is
	// taken for dead: one that cannot reach the database stops writing by itself
	// before another adopts its targets.
	leaseLength = 750 * time.Millisecond
)

// ErrHeld says that a write must not leave: its rollout does not run, or this
// process cannot tell whether it does.
var ErrHeld = errors.New("jobs: the rollout is not running")

// Lease is this process's permission to write, renewed with every look at the
// database and gone soon after the last one.
type Lease struct {
	store  *store.Store
	self   store.Process
	logger *slog.Logger
	id     atomic.Int64
	poke   chan struct{}
	onSeen func()

	renewing sync.Mutex
	mu       sync.RWMutex
	seen     time.Time // when the last look began
	open     []store.OpenRollout
	states   map[int64]fleet.RolloutState
}

// NewLease registers the process under a unique name.
func NewLease(ctx context.Context, st *store.Store, name string, logger *slog.Logger) (*Lease, error) {
	l := &Lease{store: st, self: thisProcess(name), logger: logger, poke: make(chan struct{}, 1), onSeen: func() {}}
	id, err := st.RegisterProcess(ctx, l.self)
	if err != nil {
		return nil, err
	}
	l.id.Store(id)
	return l, l.renew(ctx)
}

// ProcessID is the row of this process.
func (l *Lease) ProcessID() int64 { return l.id.Load() }

// Poke asks for a look at once: something was told to have changed.
func (l *Lease) Poke() {
	select {
	case l.poke <- struct{}{}:
	default:
	}
}

// Run renews the lease until ctx ends.
func (l *Lease) Run(ctx context.Context) {
	ticker := time.NewTicker(heartbeatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-l.poke:
		}
		if err := l.renew(ctx); err != nil && ctx.Err() == nil {
			l.logger.LogAttrs(ctx, slog.LevelWarn, "heartbeat failed, writes stop until one succeeds", slog.Any("error", err))
		}
	}
}

// ForgetGone takes the processes of this machine off the list that are gone.
func (l *Lease) ForgetGone(ctx context.Context) error {
	return l.store.ForgetGone(ctx, l.ProcessID(), l.self.Place, processGone)
}

// Close takes the process off the list of those that live.
func (l *Lease) Close(ctx context.Context) error {
	l.mu.Lock()
	l.seen = time.Time{}
	l.mu.Unlock()
	return l.store.ForgetProcess(ctx, l.ProcessID())
}

func (l *Lease) renew(ctx context.Context) error {
	l.renewing.Lock()
	defer l.renewing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	began := time.Now()
	open, err := l.store.Heartbeat(ctx, l.ProcessID())
	if errors.Is(err, store.ErrProcessForgotten) {
		id, regErr := l.store.RegisterProcess(ctx, l.self)
		if regErr != nil {
			return regErr
		}
		l.id.Store(id)
		open, err = l.store.Heartbeat(ctx, id)
	}
	if err != nil {
		return err
	}
	states := make(map[int64]fleet.RolloutState, len(open))
	for _, r := range open {
		states[r.ID] = r.State
	}
	l.mu.Lock()
	l.seen, l.open, l.states = began, open, states
	l.mu.Unlock()
	l.onSeen()
	return nil
}

// Open returns the open rollouts as last seen. The slice must not be changed.
func (l *Lease) Open() []store.OpenRollout {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.open
}

// MayWrite returns nil while a write for the rollout may leave this process now.
func (l *Lease) MayWrite(ctx context.Context, rolloutID int64) error {
	switch state, fresh := l.state(rolloutID); {
	case fresh && state == fleet.RolloutRunning:
		return nil
	case fresh && state != "":
		return ErrHeld
	}
	// Too new to have been seen, or the lease ran out: look, once.
	if err := l.renew(ctx); err != nil {
		return errors.Join(ErrHeld, err)
	}
	if state, fresh := l.state(rolloutID); !fresh || state != fleet.RolloutRunning {
		return ErrHeld
	}
	return nil
}

func (l *Lease) state(rolloutID int64) (state fleet.RolloutState, fresh bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.states[rolloutID], time.Since(l.seen) < leaseLength
}
