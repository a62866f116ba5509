package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// tokenPrefix tells people and secret scanners what a token is for.
const tokenPrefix = "fleet_"

// tokenBytes is how much chance is in a token: enough that its hash needs no salt
// and no stretching.
const tokenBytes = 32

func hashToken(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// CreateToken makes a token and returns its secret, of which only the hash is kept.
// A repeated call with the same key is therefore a conflict.
func (s *Store) CreateToken(ctx context.Context, p TokenParams, by fleet.Actor, once Idempotency) (token Token, secret string, err error) {
	if err := p.check(); err != nil {
		return token, "", err
	}
	random := make([]byte, tokenBytes)
	if _, err := rand.Read(random); err != nil {
		return token, "", fmt.Errorf("make a token: %w", err)
	}
	secret = tokenPrefix + base64.RawURLEncoding.EncodeToString(random)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		created, err := claimIdempotency(ctx, tx, by, once)
		if err != nil {
			return err
		}
		if created != "" {
			return fleet.Conflictf("an earlier call with this Idempotency-Key created the token %s, and its secret is shown only once; "+
				"if it was lost, revoke that token and create another with a new key", created)
		}
		insert := db.TokenInsertParams{Name: p.Name, Role: string(p.Role), Hash: hashToken(secret)}
		if p.TTL > 0 {
			seconds := p.TTL.Seconds()
			insert.TtlSeconds = &seconds
		}
		row, err := db.New(tx).TokenInsert(ctx, insert)
		if err != nil {
			return fmt.Errorf("insert token: %w", err)
		}
		token = tokenOf(row, row.CreatedAt)
		detail := map[string]any{"role": p.Role}
		if p.TTL > 0 {
			detail["ttl"] = p.TTL.String()
		}
		if err := addLog(ctx, tx, logEntry{Actor: by, Action: "token.create", Object: "token/" + p.Name, Reason: p.Reason, Detail: detail}); err != nil {
			return err
		}
		return keepIdempotency(ctx, tx, by, once, p.Name)
	})
	if err != nil {
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	return token, secret, nil
}

func (p TokenParams) check() error {
	switch {
	case strings.TrimSpace(p.Name) == "" || len(p.Name) > 100 || strings.ContainsFunc(p.Name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fleet.Invalidf("name", "a token needs a name of 1 to 100 characters that says who or what will use it")
	case p.Name == systemActor:
		return fleet.Invalidf("name", "the name %s is fleetd's own; choose another", systemActor)
	case !slices.Contains(fleet.Roles(), p.Role):
		return fleet.Invalidf("role", "%q is not a role; use viewer, operator or admin", p.Role)
	case p.TTL < 0 || p.TTL > 100*365*24*time.Hour:
		return fleet.Invalidf("ttl", "a token cannot live for %s; give a time above 0, or none for a token that does not expire", p.TTL)
	}
	return nil
}

// systemActor is the name in the log of what fleetd does by itself.
const systemActor = "system"

// Authenticate says whose live token this is. It writes down that it was used, at
// most once a minute.
func (s *Store) Authenticate(ctx context.Context, secret string) (fleet.Actor, error) {
	if !strings.HasPrefix(secret, tokenPrefix) {
		return fleet.Actor{}, unauthenticated("the bearer token is not one of fleetd's, which begin with " + tokenPrefix)
	}
	q := db.New(s.pool)
	row, err := q.TokenByHash(ctx, hashToken(secret))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fleet.Actor{}, unauthenticated("the bearer token is not known; ask an admin for one (`fleetd token create`)")
	case err != nil:
		return fleet.Actor{}, mapError(fmt.Errorf("look up token: %w", err))
	case row.Revoked:
		return fleet.Actor{}, unauthenticated("the token " + row.Name + " was revoked; ask an admin for a new one")
	case row.Expired:
		return fleet.Actor{}, unauthenticated("the token " + row.Name + " has expired; ask an admin for a new one")
	}
	if row.Stale {
		if err := q.TokenUsed(ctx, row.ID); err != nil {
			return fleet.Actor{}, mapError(fmt.Errorf("note the use of a token: %w", err))
		}
	}
	return fleet.Actor{Name: row.Name, Role: fleet.Role(row.Role)}, nil
}

func unauthenticated(message string) error {
	return &fleet.Error{Code: fleet.CodeUnauthenticated, Message: message}
}

// ListTokens lists tokens, newest first. next is the cursor of the next page, zero
// after the last.
func (s *Store) ListTokens(ctx context.Context, f TokenFilter) (tokens []Token, next int64, err error) {
	limit := pageLimit(f.Limit)
	rows, err := db.New(s.pool).TokenList(ctx, db.TokenListParams{
		AllStates: f.All, Before: f.Before, MaxRows: int32(limit + 1), //nolint:gosec // At most MaxLimit.
	})
	if err != nil {
		return nil, 0, mapError(fmt.Errorf("list tokens: %w", err))
	}
	rows, next = page(rows, limit, func(r db.TokenListRow) int64 { return r.Token.ID })
	tokens = make([]Token, len(rows))
	for i, r := range rows {
		tokens[i] = tokenOf(r.Token, r.Now)
	}
	return tokens, next, nil
}

// RevokeToken ends the live token of a name: the next call with it is refused.
func (s *Store) RevokeToken(ctx context.Context, name, reason string, by fleet.Actor) (token Token, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		row, err := db.New(tx).TokenRevoke(ctx, name)
		if errors.Is(err, pgx.ErrNoRows) {
			return &fleet.Error{
				Code: fleet.CodeNotFound, Field: "name",
				Message: fmt.Sprintf("there is no token %q in use; `fleetctl token list` shows them all", name),
			}
		}
		if err != nil {
			return fmt.Errorf("update token: %w", err)
		}
		token = tokenOf(row, row.CreatedAt)
		return addLog(ctx, tx, logEntry{Actor: by, Action: "token.revoke", Object: "token/" + name, Reason: reason})
	})
	if err != nil {
		return Token{}, fmt.Errorf("revoke token: %w", err)
	}
	return token, nil
}

func tokenOf(row db.Token, now time.Time) Token {
	t := Token{
		Name: row.Name, Role: fleet.Role(row.Role), State: "live", CreatedAt: row.CreatedAt.UTC(),
		ExpiresAt: utc(row.ExpiresAt), LastUsedAt: utc(row.LastUsedAt), RevokedAt: utc(row.RevokedAt),
	}
	switch {
	case row.RevokedAt != nil:
		t.State = "revoked"
	case row.ExpiresAt != nil && !row.ExpiresAt.After(now):
		t.State = "expired"
	}
	return t
}
