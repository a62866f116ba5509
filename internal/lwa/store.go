package lwa

import (
	"context"
	"log/slog"
	"time"
)

// Credential is what is stored of one account's access to one kind of API.
type Credential struct {
	ClientID     string
	ClientSecret string
	RefreshToken string
	AccessToken  string    // the last one saved, empty where there is none
	ExpiresAt    time.Time // of AccessToken
	// Unauthorized is true from MarkUnauthorized until the operator sets a new
	// credential, and UnauthorizedReason the reason it was given.
	Unauthorized       bool
	UnauthorizedReason string
}

// LogValue keeps the secrets out of logs.
func (c Credential) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("client_id", c.ClientID),
		slog.Time("expires_at", c.ExpiresAt),
		slog.Bool("unauthorized", c.Unauthorized),
		slog.String("reason", c.UnauthorizedReason))
}

// String keeps the secrets out of what is printed with %v or %s.
func (c Credential) String() string { return "credential of client " + c.ClientID }

// GoString keeps the secrets out of what is printed with %#v.
func (c Credential) GoString() string { return c.String() }

// SaveParams is what a refresh brought.
type SaveParams struct {
	AccessToken  string
	ExpiresAt    time.Time
	RefreshToken string // a rotated one; empty leaves the stored one as it is
	// RefreshTokenUsed is the one that was sent. Where the stored one is another by
	// now, the operator has set a new credential, and Save only ends the lease.
	RefreshTokenUsed string
}

// LogValue keeps the secrets out of logs.
func (p SaveParams) LogValue() slog.Value {
	return slog.GroupValue(slog.Time("expires_at", p.ExpiresAt), slog.Bool("rotated", p.RefreshToken != ""))
}

// String keeps the secrets out of what is printed.
func (p SaveParams) String() string { return "a token until " + p.ExpiresAt.UTC().Format(time.RFC3339) }

// GoString keeps the secrets out of what is printed with %#v.
func (p SaveParams) GoString() string { return p.String() }

// Store keeps one credential for all processes, its secrets encrypted.
type Store interface {
	// Load returns the credential as it stands now.
	Load(ctx context.Context) (Credential, error)
	// AcquireLease gives one process at a time leave to refresh. It reports false,
	// at once, while another holds the lease; one that is not ended by Save or
	// MarkUnauthorized ends by itself after ttl.
	AcquireLease(ctx context.Context, ttl time.Duration) (bool, error)
	// Save stores the outcome of a refresh and ends the lease.
	Save(ctx context.Context, p SaveParams) error
	// MarkUnauthorized stops the account's work for a reason (the OAuth error
	// code) and a message for people, and ends the lease. It changes nothing else
	// when the stored refresh token is no longer refreshTokenUsed: the operator
	// has set a new one since.
	MarkUnauthorized(ctx context.Context, reason, message, refreshTokenUsed string) error
}
