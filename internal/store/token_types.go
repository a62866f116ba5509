package store

import (
	"time"

	"fleetd/internal/fleet"
)

// Token is a bearer token without its secret; the JSON of the API.
type Token struct {
	Name       string     `json:"name"`
	Role       fleet.Role `json:"role"`
	State      string     `json:"state"` // live, expired or revoked
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`   // null: never
	LastUsedAt *time.Time `json:"last_used_at"` // to the minute; null: never
	RevokedAt  *time.Time `json:"revoked_at"`
}

// TokenParams describes a new token.
type TokenParams struct {
	Name   string
	Role   fleet.Role
	TTL    time.Duration // zero: never expires
	Reason string        // why, for the log
}

// TokenFilter picks a page of tokens, newest first.
type TokenFilter struct {
	All    bool  // revoked and expired ones too
	Before int64 // cursor: tokens older than this row
	Limit  int
}
