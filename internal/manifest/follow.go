package manifest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"fleetd/internal/remote"
)

// How a build is followed.
const (
	// DefaultInterval is the wait before the second look at a build; each is half as
	// long again as the one before, up to MaxInterval.
	DefaultInterval = time.Second
	MaxInterval     = 15 * time.Second
	// settle is how long a build that has ended with the entity tag from before it is
	// not believed: the status may not know of the update yet.
	settle = 10 * time.Second
	// maxFailures is how many reads in a row may fail before the build is given up.
	maxFailures = 5
)

// FollowParams says what to follow.
type FollowParams struct {
	SkillID  string
	Location string // of the answer to the change, which says what is built; may be empty
	// Resources are followed instead of what Location says.
	Resources []Resource
	// ETag is the entity tag that the change replaced, where one is known.
	ETag string
	// Interval is the first wait; 0: DefaultInterval.
	Interval time.Duration
}

// Follow reads the status of a skill until what is followed has ended, in pauses that
// grow. A build that failed is a *BuildError. When ctx ends before, the error holds
// its own. The status is the last one that was read, with an error too.
func (c *Client) Follow(ctx context.Context, p FollowParams) (Status, error) {
	resources := p.Resources
	if len(resources) == 0 {
		resources = locationResources(p.Location, p.SkillID)
	}
	wait := p.Interval
	if wait <= 0 {
		wait = DefaultInterval
	}
	last := Status{SkillID: p.SkillID}
	var waited time.Duration
	failures := 0
	for {
		status, err := c.Status(ctx, p.SkillID, resources...)
		switch {
		case err == nil:
			last, failures = status, 0
			ended, err := status.ended(resources)
			if ended && (waited >= settle || err != nil || !status.before(p.ETag)) {
				return last, err
			}
		case ctx.Err() != nil:
			return last, fmt.Errorf("follow the build of skill %s: %w", p.SkillID, ctx.Err())
		default:
			if failures++; failures >= maxFailures || !temporary(err) {
				return last, err
			}
		}
		if err := pause(ctx, wait); err != nil {
			return last, fmt.Errorf("follow the build of skill %s: %w", p.SkillID, err)
		}
		waited += wait
		wait = min(wait*3/2, MaxInterval)
	}
}

// Ended reports whether the last update of the resources, of the manifest where none
// is named, has succeeded or failed.
func (s Status) Ended(resources ...Resource) bool {
	if len(resources) == 0 {
		resources = []Resource{ResourceManifest}
	}
	ended, _ := s.ended(resources)
	return ended
}

// ended reports whether everything that is followed has ended, and the first failure.
// A resource that the skill does not have yet has not ended.
func (s Status) ended(resources []Resource) (bool, error) {
	var failed error
	for _, r := range resources {
		parts := s.parts(r)
		if len(parts) == 0 {
			return false, nil
		}
		for _, locale := range slices.Sorted(maps.Keys(parts)) {
			switch update := parts[locale].Update; {
			case !update.State.Ended():
				return false, nil
			case update.State == StateFailed && failed == nil:
				failed = &BuildError{SkillID: s.SkillID, Resource: r, Locale: locale, Update: update}
			}
		}
	}
	return true, failed
}

// before reports whether the status has the entity tag from before an update.
func (s Status) before(tag string) bool {
	return tag != "" && s.Manifest != nil && s.Manifest.ETag == tag
}

func temporary(err error) bool {
	var e *remote.Error
	return errors.As(err, &e) && e.Temporary()
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // The caller says what was waited for.
	}
}
