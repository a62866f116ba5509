package preflight

import "fleetd/internal/fleet"

// Fact is something that is known, or why it is not. The zero value is not known.
type Fact[T any] struct {
	Known bool
	Value T
	Why   string // why it is not known, and how to mend that
}

// Know makes a fact that is known.
func Know[T any](v T) Fact[T] { return Fact[T]{Known: true, Value: v} }

// Unknown makes a fact that is not known.
func Unknown[T any](why string) Fact[T] { return Fact[T]{Why: why} }

// Facts is what is known of a skill. The APIs' own words stand in it as they came:
// statuses that no page documents are possible.
type Facts struct {
	// None is why nothing was asked at all; every check is not_checked for it. Empty:
	// what follows counts.
	None string
	// Skill is what the list of the vendor's skills says (skill manifest API).
	Skill Fact[Skill]
	// Build is the last manifest update of the skill, whatever its stage (ditto).
	Build Fact[Build]
	// Manifest is the manifest at the rollout's stage (ditto).
	Manifest Fact[Manifest]
	// Enabled is whether the developer has the skill enabled at the rollout's stage (skill
	// enablement API). It matters at stages that are not live.
	Enabled Fact[bool]
	// LinkSeen is whether our own records have an account link of the skill in a home of
	// the account.
	LinkSeen Fact[bool]
}

// Skill is a skill as the vendor's list has it.
type Skill struct {
	Exists  bool   // the API knows it
	Own     bool   // it is in the vendor's list; one that is not is another vendor's, or was never built
	Vendor  string // whose list was read
	Listing []Listed
}

// Listed is a skill at one stage: the list has an entry for each.
type Listed struct {
	Stage       string
	Publication string   // DEVELOPMENT, CERTIFICATION, CERTIFIED, PUBLISHED, HIDDEN, REMOVED
	APIs        []string // custom, smartHome, flashBriefing, video, music, householdList
}

// Build is the last manifest update of a skill.
type Build struct {
	Status string // SUCCEEDED, FAILED, IN_PROGRESS; empty: none is on record
	Errors []string
}

// Manifest is what matters here of a skill manifest.
type Manifest struct {
	Found     bool
	Worldwide bool     // publishingInformation.isAvailableWorldwide
	Countries []string // publishingInformation.distributionCountries
	APIs      []string // the keys of apis
}

// Params is the change that is about to be made.
type Params struct {
	Account   string
	Action    fleet.Action
	SkillID   string
	Stage     fleet.Stage
	Countries []string // where the account's homes are, ISO 3166-1 alpha-2
	LinkMode  fleet.LinkMode
}

// at finds the entry of a stage. The list spells the middle stage certification or
// certified (facts 7).
func (s Skill) at(stage fleet.Stage) (Listed, bool) {
	for _, l := range s.Listing {
		if l.Stage == string(stage) || stage == fleet.StageCertification && l.Stage == "certified" {
			return l, true
		}
	}
	return Listed{}, false
}

// Query asks for a preflight. Countries and link mode are the account's.
type Query struct {
	Account string
	Action  fleet.Action
	SkillID string
	Stage   fleet.Stage
	Why     Why
}
