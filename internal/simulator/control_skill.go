package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"fleetd/internal/fleet"
)

// Span is a time that is spelled "2s" in JSON.
type Span struct{ time.Duration }

// UnmarshalJSON reads what time.ParseDuration understands and is not negative.
func (d *Span) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("a time must be a text such as \"2s\": %w", err)
	}
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return fmt.Errorf("time %q: must be such as 200ms or 2s", text)
	}
	d.Duration = v
	return nil
}

// MarshalJSON writes it likewise.
func (d Span) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// BuildChange says how the builds of a skill end, those under way too. Nil leaves
// things as they were: at first, a build fails when a name in its manifest
// contains FAIL and warns when one contains WARN.
type BuildChange struct {
	Fail     *bool          `json:"fail,omitempty"`
	Errors   []BuildMessage `json:"errors,omitempty"`
	Warnings []BuildMessage `json:"warnings,omitempty"`
	Delay    *Span          `json:"delay,omitempty"` // of those that begin from now on
}

// merge takes over what is set in next.
func (b *BuildChange) merge(next BuildChange) {
	if next.Fail != nil {
		b.Fail = next.Fail
	}
	if next.Errors != nil {
		b.Errors = next.Errors
	}
	if next.Warnings != nil {
		b.Warnings = next.Warnings
	}
	if next.Delay != nil {
		b.Delay = next.Delay
	}
}

// SkillChange is what ChangeSkill does; nil leaves things as they are. All but
// the first two are of skills that were made by the manifest API or Publish.
type SkillChange struct {
	Exists  *bool `json:"exists,omitempty"`
	Linking *bool `json:"linking,omitempty"`

	// PublicationStatus moves the skill through the store: CERTIFICATION and CERTIFIED
	// make that stage, PUBLISHED, HIDDEN and REMOVED the live one, DEVELOPMENT takes
	// both away. It sends no event; Publish does.
	PublicationStatus *Publication `json:"publication_status,omitempty"`
	Build             *BuildChange `json:"build,omitempty"`
	Hosted            *bool        `json:"hosted,omitempty"`        // its status has the resources of hosted skills
	SeedSpelling      *bool        `json:"seed_spelling,omitempty"` // its status is spelled as in the samples of seed 002
}

// ChangeSkill changes whether a skill exists and links accounts, and what the
// manifest API says of it. One that does not exist is in no list and answered 404;
// homes have it again when it does.
func (s *Simulator) ChangeSkill(skillID string, change SkillChange) error {
	if !validID(skillID) {
		return fmt.Errorf("skill %q: must be 1 to 255 characters without spaces", skillID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.skill(skillID)
	if p := change.PublicationStatus; p != nil && !slices.Contains(Publications(), *p) {
		return fmt.Errorf("publication_status %q: must be one of %v", *p, Publications())
	}
	if k.product == nil && (change.PublicationStatus != nil || change.Build != nil || change.Hosted != nil || change.SeedSpelling != nil) {
		return fmt.Errorf("skill %q: was not made by the manifest API; POST /_sim/publish makes it known there", skillID)
	}
	if change.PublicationStatus != nil {
		if err := s.settled(k, s.now()); err != nil {
			return err
		}
	}
	if change.Exists != nil {
		k.exists = *change.Exists
	}
	if change.Linking != nil {
		k.linking = *change.Linking
	}
	if k.product != nil {
		s.changeProduct(k, change)
	}
	return nil
}

func (s *Simulator) changeProduct(k *skill, change SkillChange) {
	p, now := k.product, s.now()
	if change.Build != nil {
		p.plan.merge(*change.Build)
	}
	if change.Hosted != nil {
		p.hosted = *change.Hosted
	}
	if change.SeedSpelling != nil {
		p.seed002 = *change.SeedSpelling
	}
	if change.PublicationStatus == nil {
		return
	}
	switch status := *change.PublicationStatus; status {
	case PublicationDevelopment:
		delete(p.editions, fleet.StageCertification)
		delete(p.editions, fleet.StageLive)
		if p.enabled == fleet.StageLive {
			p.enabled = ""
		}
	case PublicationCertification, PublicationCertified:
		s.edit(k, fleet.StageCertification, p.editions[fleet.StageDevelopment].manifest, now)
		p.editions[fleet.StageCertification].status = status
	case PublicationPublished, PublicationHidden, PublicationRemoved:
		if p.editions[fleet.StageLive] == nil {
			s.publish(k, now)
		}
		p.editions[fleet.StageLive].status = status
		p.editions[fleet.StageLive].updated = now
	}
}

// PublishParams is what Publish puts live.
type PublishParams struct {
	SkillID  string `json:"skill_id"`
	VendorID string `json:"vendor_id,omitempty"` // of a skill that the manifest API did not know; that of the first developer if empty
	Fail     bool   `json:"fail,omitempty"`      // it is not published, and the event says FAILED
}

// Publish puts a skill's development stage live and tells of it. A skill that only
// homes knew becomes the vendor's.
func (s *Simulator) Publish(p PublishParams) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !validID(p.SkillID) {
		return fmt.Errorf("skill_id %q: must be 1 to 255 characters without spaces", p.SkillID)
	}
	now := s.now()
	k := s.skill(p.SkillID)
	if k.product != nil {
		if err := s.settled(k, now); err != nil {
			return err
		}
		p.VendorID = k.product.vendor
	} else if setDefault(&p.VendorID, s.cfg.firstVendor()); p.VendorID == "" {
		return fmt.Errorf("skill_id %q: the manifest API does not know it, and there is no developer: name a vendor_id", p.SkillID)
	}
	if !p.Fail {
		if k.product == nil {
			s.adopt(k, p.VendorID, now)
		}
		s.publish(k, now)
	}
	s.happened(occurrence{
		event: EventSkillPublish, ok: !p.Fail, skillID: k.id, vendorID: p.VendorID, requestID: s.uuid(hash(k.key, uint64(now), 'p')), //nolint:gosec // not negative
	})
	return nil
}

// settled reports a skill that cannot move through the store: its first build has
// not succeeded, or another one is under way.
func (s *Simulator) settled(k *skill, now time.Duration) error {
	s.settleBuild(k, now)
	switch {
	case k.product.build.status == buildRunning:
		return fmt.Errorf("skill %q: is being built; POST /_sim/builds {\"finish\":true} ends that", k.id)
	case k.product.editions[fleet.StageDevelopment] == nil:
		return fmt.Errorf("skill %q: has no development stage, since its build failed", k.id)
	}
	return nil
}

func (s *Simulator) serveChangeSkill(w http.ResponseWriter, r *http.Request) {
	var change SkillChange
	if receive(w, r, &change) {
		reply(w, s.ChangeSkill(r.PathValue("skill"), change), change)
	}
}

func (s *Simulator) servePublish(w http.ResponseWriter, r *http.Request) {
	var p PublishParams
	if receive(w, r, &p) {
		err := s.Publish(p)
		reply(w, err, p)
	}
}

// BuildsParams is what SetBuilds does.
type BuildsParams struct {
	Delay  *Span `json:"delay,omitempty"`  // of builds that begin from now on
	Finish bool  `json:"finish,omitempty"` // end those under way
}

// SetBuilds changes how long builds take, and may end those that are under way.
func (s *Simulator) SetBuilds(p BuildsParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Delay != nil {
		s.buildDelay = p.Delay.Duration
	}
	if !p.Finish {
		return
	}
	now := s.now()
	for _, k := range s.products {
		k.product.build.until = min(k.product.build.until, now)
		s.settleBuild(k, now)
	}
}

func (s *Simulator) serveBuilds(w http.ResponseWriter, r *http.Request) {
	var p BuildsParams
	if receive(w, r, &p) {
		s.SetBuilds(p)
		sendJSON(w, http.StatusOK, p)
	}
}
