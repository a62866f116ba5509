package jobs

import (
	"context"
	"log/slog"
	"time"

	"fleetd/internal/store"
)

// scheduleEvery is how often it is looked which audits are due.
const scheduleEvery = 5 * time.Second

// Scheduler begins the audits that schedules ask for: the loop that every process
// runs. Of two that find a slot due one takes it, for slots are rows of the database;
// River's own periodic jobs are not durable.
type Scheduler struct {
	store    *store.Store
	standard store.AuditDefault
	now      func(ctx context.Context) (time.Time, error)
	taken    func()
	logger   *slog.Logger
}

// NewScheduler makes the loop. standard is the schedule of accounts that have none of
// their own; now is the clock that slots go by (nil: the database's, which all
// processes share); taken is called when an audit was begun.
func NewScheduler(
	st *store.Store, standard store.AuditDefault, now func(ctx context.Context) (time.Time, error), logger *slog.Logger, taken func(),
) *Scheduler {
	if now == nil {
		now = st.Now
	}
	return &Scheduler{store: st, standard: standard, now: now, taken: taken, logger: logger}
}

// Run looks until ctx ends.
func (s *Scheduler) Run(ctx context.Context) {
	ticker := time.NewTicker(scheduleEvery)
	defer ticker.Stop()
	for {
		if err := s.Look(ctx); err != nil && ctx.Err() == nil {
			s.logger.LogAttrs(ctx, slog.LevelWarn, "audit schedules not looked at", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Look begins the audits that are due now.
func (s *Scheduler) Look(ctx context.Context) error {
	now, err := s.now(ctx)
	if err != nil {
		return err
	}
	due, err := s.store.DueSlots(ctx, now, s.standard)
	if err != nil {
		return err
	}
	for _, slot := range due {
		if slot.Behind != nil {
			s.logger.LogAttrs(ctx, slog.LevelWarn, "audit schedule cannot be read", slog.String("account", slot.Account), slog.Any("error", slot.Behind))
			continue
		}
		a, taken, err := s.store.ClaimSlot(ctx, slot.SlotParams)
		if err != nil {
			s.logger.LogAttrs(ctx, slog.LevelWarn, "scheduled audit not begun", slog.String("account", slot.Account), slog.Any("error", err))
			continue
		}
		if taken {
			s.logger.LogAttrs(ctx, slog.LevelInfo, "audit begun by its schedule", slog.String("audit", a.ID),
				slog.String("account", a.Account), slog.String("slot", a.Slot.Time), slog.Int("units", a.Units))
			s.taken()
		}
	}
	return nil
}
