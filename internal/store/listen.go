package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// The channels of NOTIFY: a payload is the ID of the row that changed.
const (
	ChannelControl = "fleet_control" // a rollout's state changed
	ChannelBudget  = "fleet_budget"  // a budget was blocked, or its rate changed: its account's ID and its kind
	ChannelAccount = "fleet_account" // an account was made or changed
)

// Listen calls f for every notification until ctx ends or the connection breaks,
// and once with an empty channel when it has begun to listen: whatever was told
// before that was missed. It holds a connection of its own.
func (s *Store) Listen(ctx context.Context, f func(channel, payload string)) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return mapError(fmt.Errorf("listen: %w", err))
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, channel := range []string{ChannelControl, ChannelBudget, ChannelAccount} {
		if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
			return mapError(fmt.Errorf("listen: %w", err))
		}
	}
	f("", "")
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return mapError(fmt.Errorf("listen: %w", err))
		}
		f(n.Channel, n.Payload)
	}
}
