package store

import (
	"context"
	"fmt"
	"time"

	"fleetd/internal/fleet"
)

// AccountWork is an account as the workers need it.
type AccountWork struct {
	ID           int64
	Name         string
	APIURL       string
	TokenURL     string
	LinkMode     fleet.LinkMode
	CodeURL      string
	RedirectURIs []string
	UpdatedAt    time.Time
	Rate         float64 // requests a second, as sent at now
	Blocked      string  // why it cannot work, with the mend; empty: it can
	// Others are its credentials beside the enterprise one, by kind.
	Others []CredentialWork
}

// CredentialWork is a credential as the workers need it.
type CredentialWork struct {
	Kind     fleet.CredentialKind
	VendorID string // of a developer credential
}

// ListAccountWork lists every account as the workers need it.
func (s *Store) ListAccountWork(ctx context.Context) ([]AccountWork, error) {
	rows, err := s.q().AccountWork(ctx)
	if err != nil {
		return nil, mapError(fmt.Errorf("list accounts at work: %w", err))
	}
	others, err := s.q().CredentialWork(ctx)
	if err != nil {
		return nil, mapError(fmt.Errorf("list credentials at work: %w", err))
	}
	of := map[int64][]CredentialWork{}
	for _, r := range others {
		of[r.AccountID] = append(of[r.AccountID], CredentialWork{Kind: fleet.CredentialKind(r.Kind), VendorID: r.VendorID})
	}
	out := make([]AccountWork, len(rows))
	for i, r := range rows {
		out[i] = AccountWork{
			ID: r.ID, Name: r.Name, APIURL: r.ApiUrl, TokenURL: r.TokenUrl, LinkMode: fleet.LinkMode(r.LinkMode),
			CodeURL: r.CodeUrl, RedirectURIs: r.RedirectUris, UpdatedAt: r.UpdatedAt, Rate: r.Rate, Others: of[r.ID],
		}
		if r.State == "unauthorized" {
			out[i].Blocked = r.StateReason
		}
	}
	return out, nil
}
