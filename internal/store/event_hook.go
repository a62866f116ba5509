package store

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// maxTopics is how many topics one hook takes events from.
const maxTopics = 20

// The raw secret is guessed against an open port and kept under a hash that is not
// stretched, so it must not be short.
const (
	minRawSecret = 20
	maxRawSecret = 200
)

// topicARN is the name of an SNS topic. FIFO topics do not deliver to HTTP.
var topicARN = regexp.MustCompile(`^arn:aws(-cn|-us-gov)?:sns:[a-z0-9-]{1,40}:[0-9]{12}:[A-Za-z0-9_-]{1,256}$`)

// EventHookPath is the path of the URL that a topic is subscribed to for an account.
func EventHookPath(account string) string { return "/hooks/sns/" + account }

func newEventHook(account string, row db.EventHook) EventHook {
	return EventHook{
		Account: account, Topics: row.Topics, RawSecret: row.RawHash != nil, Path: EventHookPath(account),
		CreatedAt: row.CreatedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(),
	}
}

// SetEventHook says from where an account takes events. Of the raw secret only a hash
// is kept.
func (s *Store) SetEventHook(ctx context.Context, p EventHookParams, actor fleet.Actor) (EventHook, error) {
	if err := p.check(); err != nil {
		return EventHook{}, err
	}
	var out EventHook
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		id, err := accountID(ctx, tx, p.Account)
		if err != nil {
			return err
		}
		set := db.EventHookSetParams{AccountID: id, Topics: p.Topics, Keep: p.RawSecret == nil}
		detail := map[string]any{"topics": p.Topics}
		if p.RawSecret != nil {
			detail["raw_secret"] = "taken away"
		}
		if p.RawSecret != nil && *p.RawSecret != "" {
			set.RawHash, detail["raw_secret"] = hashToken(*p.RawSecret), "set"
		}
		row, err := db.New(tx).EventHookSet(ctx, set)
		if err != nil {
			return fmt.Errorf("set the event hook: %w", err)
		}
		out = newEventHook(p.Account, row)
		return addLog(ctx, tx, logEntry{
			Actor: actor, Action: "event.hook.set", Object: "account/" + p.Account, Reason: p.Reason, Detail: detail,
		})
	})
	return out, err
}

func (p *EventHookParams) check() error {
	if len(p.Topics) == 0 {
		return fleet.Invalidf("topic", "name the SNS topic that the events come from, such as arn:aws:sns:us-east-1:123456789012:skill-events")
	}
	if len(p.Topics) > maxTopics {
		return fleet.Invalidf("topic", "%d topics are too many for one hook; use %d at most", len(p.Topics), maxTopics)
	}
	for _, arn := range p.Topics {
		if !topicARN.MatchString(arn) {
			return fleet.Invalidf("topic", "%.100q is no ARN of an SNS topic that delivers to HTTP, such as arn:aws:sns:us-east-1:123456789012:skill-events", arn)
		}
	}
	p.Topics = slices.Compact(slices.Sorted(slices.Values(p.Topics)))
	if secret := deref(p.RawSecret); secret != "" {
		odd := strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' })
		if odd || len(secret) < minRawSecret || len(secret) > maxRawSecret {
			return fleet.Invalidf("raw_secret", "the raw secret must have %d to %d printable ASCII characters without spaces; `openssl rand -hex 24` makes one",
				minRawSecret, maxRawSecret)
		}
	}
	return nil
}

// EventHook reads from where an account takes events.
func (s *Store) EventHook(ctx context.Context, account string) (EventHook, error) {
	if _, err := accountID(ctx, s.pool, account); err != nil {
		return EventHook{}, mapError(err)
	}
	row, err := s.q().EventHookGet(ctx, account)
	if errors.Is(err, pgx.ErrNoRows) {
		return EventHook{}, noHook(account)
	}
	if err != nil {
		return EventHook{}, mapError(fmt.Errorf("read the event hook of account %s: %w", account, err))
	}
	return newEventHook(account, row), nil
}

func noHook(account string) error {
	return fleet.NotFoundf("account %s takes no events: it has no event hook; `fleetctl event hook set --account %s --topic ARN` makes one", account, account)
}

// EventAccess reads what a message for an account is judged by. ok is false where the
// account takes none, or is not there.
func (s *Store) EventAccess(ctx context.Context, account string) (access EventAccess, ok bool, err error) {
	row, err := s.q().EventHookGet(ctx, account)
	if errors.Is(err, pgx.ErrNoRows) {
		return access, false, nil
	}
	if err != nil {
		return access, false, mapError(fmt.Errorf("read an event hook: %w", err))
	}
	return EventAccess{AccountID: row.AccountID, Account: account, Topics: row.Topics, rawHash: row.RawHash}, true, nil
}

// TakesRaw reports whether there is a raw secret.
func (a EventAccess) TakesRaw() bool { return a.rawHash != nil }

// IsRawSecret reports whether secret is the raw secret, in a time that does not depend
// on it.
func (a EventAccess) IsRawSecret(secret string) bool {
	return a.rawHash != nil && subtle.ConstantTimeCompare(hashToken(secret), a.rawHash) == 1
}

// DeleteEventHook ends the taking of events for an account. Those that were taken stay.
func (s *Store) DeleteEventHook(ctx context.Context, account, reason string, actor fleet.Actor) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		id, err := accountID(ctx, tx, account)
		if err != nil {
			return err
		}
		n, err := db.New(tx).EventHookDelete(ctx, id)
		if err != nil {
			return fmt.Errorf("delete the event hook: %w", err)
		}
		if n == 0 {
			return noHook(account)
		}
		return addLog(ctx, tx, logEntry{Actor: actor, Action: "event.hook.delete", Object: "account/" + account, Reason: reason})
	})
}
