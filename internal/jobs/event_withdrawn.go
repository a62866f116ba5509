package jobs

import (
	"context"
	"fmt"
	"strings"

	"fleetd/internal/manifest"
)

// developerPublications asks the developer API with the accounts' own credentials.
type developerPublications struct{ accounts *Accounts }

// Publication implements Publications.
func (d developerPublications) Publication(ctx context.Context, account, skillID string) (Publication, error) {
	developer, err := d.accounts.Developer(ctx, account)
	if err != nil {
		return Publication{}, err
	}
	stages, err := developer.Manifest.Find(ctx, developer.VendorID, skillID)
	if err != nil {
		return Publication{}, fmt.Errorf("ask how skill %s is published: %w", skillID, err)
	}
	out := Publication{VendorID: developer.VendorID, Found: len(stages) > 0}
	for _, stage := range stages {
		out.Statuses = append(out.Statuses, stage.PublicationStatus)
	}
	return out, nil
}

// Withdrawn says why nobody can enable the skill any more; empty: it can be enabled as
// far as its publication says. A skill that is HIDDEN stays where it is enabled, and
// takes no new enablements (facts 8).
func (p Publication) Withdrawn() string {
	if !p.Found {
		return "its vendor has it no more"
	}
	for _, status := range p.Statuses {
		if s := strings.ToUpper(status); s == manifest.PublicationHidden || s == manifest.PublicationRemoved {
			return "publication status " + s
		}
	}
	return ""
}

func (p Publication) text() string {
	if len(p.Statuses) == 0 {
		return "it has no publication status"
	}
	return "publication status " + printable(strings.Join(p.Statuses, ", "))
}
