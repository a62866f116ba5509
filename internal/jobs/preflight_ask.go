package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"fleetd/internal/apis"
	"fleetd/internal/fleet"
	"fleetd/internal/manifest"
	"fleetd/internal/preflight"
	"fleetd/internal/remote"
	"fleetd/internal/store"
)

// NewPreflights makes the preflights of the accounts at work.
func NewPreflights(st *store.Store, accounts *Accounts, logger *slog.Logger) *Preflights {
	return &Preflights{store: st, logger: logger, open: func(ctx context.Context, account string) (skillAPI, error) {
		dev, err := accounts.Developer(ctx, account)
		if err != nil {
			return nil, err
		}
		return developerAPI{dev}, nil
	}}
}

// developerAPI reads what a preflight needs with an account's developer credential.
type developerAPI struct{ *apis.Developer }

// Skill implements skillAPI.
func (a developerAPI) Skill(ctx context.Context, skillID string) (preflight.Skill, error) {
	entries, err := a.Developer.Manifest.Find(ctx, a.VendorID, skillID)
	out := preflight.Skill{Exists: len(entries) > 0, Own: len(entries) > 0, Vendor: a.VendorID}
	for _, e := range entries {
		out.Listing = append(out.Listing, preflight.Listed{Stage: string(e.Stage), Publication: e.PublicationStatus, APIs: e.APIs})
	}
	return out, err
}

// Build implements skillAPI.
func (a developerAPI) Build(ctx context.Context, skillID string) (preflight.Build, error) {
	status, err := a.Developer.Manifest.Status(ctx, skillID, manifest.ResourceManifest)
	var api *remote.Error
	switch {
	case errors.Is(err, manifest.ErrNotFound):
		return preflight.Build{}, errNoSkill
	case errors.As(err, &api) && api.Status == http.StatusForbidden:
		return preflight.Build{}, fmt.Errorf("%w: %w", errNotOurs, err)
	case err != nil:
		return preflight.Build{}, err
	case status.Manifest == nil:
		return preflight.Build{}, nil
	}
	out := preflight.Build{Status: string(status.Manifest.Update.State)}
	for _, e := range status.Manifest.Update.Errors {
		out.Errors = append(out.Errors, printable(e.String()))
	}
	return out, nil
}

// Manifest implements skillAPI. One that is being built, and cannot be read yet, is an
// error that says so.
func (a developerAPI) Manifest(ctx context.Context, skillID string, stage fleet.Stage) (preflight.Manifest, error) {
	at := manifest.Stage(stage)
	if stage == fleet.StageCertification {
		at = manifest.StageCertified
	}
	got, err := a.Developer.Manifest.Get(ctx, skillID, at)
	if errors.Is(err, manifest.ErrNotFound) {
		return preflight.Manifest{}, nil
	}
	if err != nil {
		return preflight.Manifest{}, err
	}
	return readManifest(got.Body)
}

// readManifest reads what matters of a skill manifest and no more: its schema is not ours.
func readManifest(body json.RawMessage) (preflight.Manifest, error) {
	var m struct {
		Publishing struct {
			Worldwide bool     `json:"isAvailableWorldwide"`
			Countries []string `json:"distributionCountries"`
		} `json:"publishingInformation"`
		APIs map[string]json.RawMessage `json:"apis"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return preflight.Manifest{}, errors.New("it is not as a skill manifest should be")
	}
	return preflight.Manifest{
		Found: true, Worldwide: m.Publishing.Worldwide, Countries: m.Publishing.Countries, APIs: slices.Sorted(maps.Keys(m.APIs)),
	}, nil
}

// Enabled implements skillAPI.
func (a developerAPI) Enabled(ctx context.Context, skillID string, stage fleet.Stage) (bool, error) {
	return a.Enablement.Status(ctx, skillID, stage)
}
