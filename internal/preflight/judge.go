package preflight

import (
	"fmt"
	"slices"
	"strings"

	"fleetd/internal/fleet"
)

// Judge makes every check. It answers whatever the facts are; CheckedAt, Why and Forced
// are the caller's to fill in.
func Judge(p Params, f Facts) Report {
	out := Report{Account: p.Account, SkillID: p.SkillID, Stage: p.Stage, Action: p.Action}
	j := judge{p, f}
	for _, name := range Names() {
		result, message := NotChecked, f.None
		if f.None == "" {
			result, message = j.check(name)
		}
		if result == Fail && p.Action == fleet.ActionDisable {
			result = Warn
		}
		out.Checks = append(out.Checks, Check{Name: name, Result: result, Message: message})
	}
	out.Result, out.Message = sum(out.Checks), line(out.Checks)
	return out
}

type judge struct {
	p Params
	f Facts
}

func (j judge) check(name Name) (Result, string) {
	switch name {
	case SkillExists:
		return j.skillExists()
	case ManifestBuild:
		return j.manifestBuild()
	case StageExists:
		return j.stageExists()
	case Publication:
		return j.publication()
	case Countries:
		return j.countries()
	case DeveloperEnablement:
		return j.developerEnablement()
	case AccountLinking:
		return j.accountLinking()
	}
	return NotChecked, "there is no such check"
}

// unknown is the result of a check whose fact is not known.
func unknown(why string) (Result, string) {
	if why == "" {
		why = "it is not known"
	}
	return NotChecked, why
}

func (j judge) skillExists() (Result, string) {
	s := j.f.Skill
	switch {
	case !s.Known:
		return unknown(s.Why)
	case !s.Value.Exists:
		return Fail, fmt.Sprintf("the skill manifest API knows no such skill: check the ID with `fleetctl skill list --account %s`", j.p.Account)
	case !s.Value.Own:
		return Warn, fmt.Sprintf("it is not in the list of vendor %s: it is another vendor's or was never built, so little can be told of it; check the ID, or the credential with `fleetctl account credential list %s`",
			s.Value.Vendor, j.p.Account)
	}
	return Pass, "a skill of vendor " + s.Value.Vendor
}

// listed is why the checks that need the vendor's list cannot be made; empty: they can.
func (j judge) listed() string {
	s := j.f.Skill
	switch {
	case !s.Known && s.Why == "":
		return "it is not known"
	case !s.Known:
		return s.Why
	case !s.Value.Exists:
		return "the skill does not exist"
	case !s.Value.Own:
		return "it is not in the vendor's list"
	}
	return ""
}

// manifestBuild judges the last update of the manifest, which the API tells of a skill and
// not of a stage: it counts at every stage. One under way only warns, because what is
// there until it ends goes on working. A skill whose first build failed is at no stage, so
// in no list, and has a status all the same.
func (j judge) manifestBuild() (Result, string) {
	b := j.f.Build
	see := fmt.Sprintf("see `fleetctl skill status %s --account %s`", j.p.SkillID, j.p.Account)
	switch {
	case j.f.Skill.Known && (!j.f.Skill.Value.Exists || !j.f.Skill.Value.Own && !b.Known):
		return NotChecked, j.listed()
	case !b.Known:
		return unknown(b.Why)
	}
	switch b.Value.Status {
	case "SUCCEEDED":
		return Pass, "the last manifest update succeeded"
	case "IN_PROGRESS":
		return Warn, "a manifest update is under way, and homes may get the skill before it or after: wait for it, " + see
	case "FAILED":
		return Fail, "the last manifest update failed" + becauseOf(b.Value.Errors) + ": mend it with `fleetctl skill update`, " + see
	case "":
		return NotChecked, "the API tells of no manifest update"
	}
	return Warn, fmt.Sprintf("the last manifest update is %.40q, which is not known here: %s", b.Value.Status, see)
}

// becauseOf is the first of some errors, in brackets.
func becauseOf(errs []string) string {
	if len(errs) == 0 || errs[0] == "" {
		return ""
	}
	more := ""
	if len(errs) > 1 {
		more = fmt.Sprintf(", and %d more", len(errs)-1)
	}
	return fmt.Sprintf(" (%.200s%s)", errs[0], more)
}

func (j judge) stageExists() (Result, string) {
	if why := j.listed(); why != "" {
		return NotChecked, why
	}
	if _, ok := j.f.Skill.Value.at(j.p.Stage); ok {
		return Pass, fmt.Sprintf("it is there at stage %s", j.p.Stage)
	}
	there := "nowhere"
	var stages []string
	for _, l := range j.f.Skill.Value.Listing {
		stages = append(stages, l.Stage)
	}
	if len(stages) > 0 {
		there = strings.Join(stages, ", ")
	}
	mend := "name another with --stage, or publish it first"
	if j.p.Action == fleet.ActionDisable {
		mend = "name the one that homes have with --stage"
	}
	return Fail, fmt.Sprintf("it is not there at stage %s (it is at: %s): %s", j.p.Stage, there, mend)
}

// publication judges what the list says of the skill at the rollout's stage. A hidden
// skill takes no new activations and goes on working where it is enabled (facts 8).
func (j judge) publication() (Result, string) {
	if why := j.listed(); why != "" {
		return NotChecked, why
	}
	l, ok := j.f.Skill.Value.at(j.p.Stage)
	if !ok {
		return NotChecked, fmt.Sprintf("it is not there at stage %s", j.p.Stage)
	}
	switch l.Publication {
	case "DEVELOPMENT", "CERTIFICATION", "CERTIFIED", "PUBLISHED":
		return Pass, "it is " + l.Publication
	case "HIDDEN":
		if j.p.Action == fleet.ActionDisable {
			return Pass, "it is HIDDEN, which is no obstacle to disabling it"
		}
		return Fail, "it is HIDDEN: homes that have it keep it, and no other can get it; have it shown in the developer console first"
	case "REMOVED":
		if j.p.Action == fleet.ActionDisable {
			return Warn, "it is REMOVED: what homes have left of it may already be gone"
		}
		return Fail, "it is REMOVED: no home can get it; publish it again, or roll out another skill"
	case "":
		return NotChecked, "the API does not say whether it is published"
	}
	return Warn, fmt.Sprintf("its publication is %.40q, which is not known here", l.Publication)
}

// countries judges where the skill is distributed. That binds the live stage; at another
// it is a warning of what is to come.
func (j judge) countries() (Result, string) {
	m := j.f.Manifest
	switch {
	case j.f.Skill.Known && j.listed() != "":
		return NotChecked, j.listed()
	case j.p.Action == fleet.ActionDisable:
		return Pass, "where it is distributed is no obstacle to disabling it"
	case !m.Known:
		return unknown(m.Why)
	case !m.Value.Found:
		return NotChecked, fmt.Sprintf("it has no manifest at stage %s", j.p.Stage)
	case m.Value.Worldwide:
		return Pass, "it is available worldwide"
	case len(j.p.Countries) == 0:
		return NotChecked, fmt.Sprintf("it is not known where the account's homes are: say so with `fleetctl account set %s --country US`", j.p.Account)
	case len(m.Value.Countries) == 0:
		return Warn, "its manifest does not say where it is distributed"
	}
	var missing []string
	for _, c := range j.p.Countries {
		if !slices.Contains(m.Value.Countries, c) {
			missing = append(missing, c)
		}
	}
	switch {
	case len(missing) == 0:
		return Pass, "it is distributed in " + strings.Join(j.p.Countries, ", ")
	case j.p.Stage != fleet.StageLive:
		return Warn, fmt.Sprintf("its manifest does not distribute it in %s, which will count once it is live", strings.Join(missing, ", "))
	}
	return Fail, fmt.Sprintf("it is not distributed in %s, where the account has homes: add that to distributionCountries with `fleetctl skill update`, or correct `fleetctl account set %s --country`",
		strings.Join(missing, ", "), j.p.Account)
}

// developerEnablement: "if present, the stage must be enabled" (residential skill
// management, of enable and disable alike). The skill enablement API has the stages
// development and live, and a live skill needs no enablement of its developer's.
func (j judge) developerEnablement() (Result, string) {
	e := j.f.Enabled
	switch {
	case j.p.Stage == fleet.StageLive:
		return Pass, "the stage live needs no enablement of the developer's own"
	case j.f.Skill.Known && j.listed() != "":
		return NotChecked, j.listed()
	case !e.Known:
		return unknown(e.Why)
	case e.Value:
		return Pass, fmt.Sprintf("its developer has it enabled at stage %s", j.p.Stage)
	}
	return Fail, fmt.Sprintf("its developer does not have it enabled at stage %s, which every home needs: `fleetctl skill enable %s --stage %s --account %s`",
		j.p.Stage, j.p.SkillID, j.p.Stage, j.p.Account)
}

// smartHome is the API whose skills all link accounts.
const smartHome = "smartHome"

// accountLinking: a smart home skill links accounts, always; of others the manifest does
// not tell, and an account link in our own records does.
func (j judge) accountLinking() (Result, string) {
	home, sure := j.isSmartHome()
	seen := j.f.LinkSeen.Known && j.f.LinkSeen.Value
	mend := fmt.Sprintf("`fleetctl account set %s --link-mode delegated` (or codes)", j.p.Account)
	switch {
	case j.f.Skill.Known && !j.f.Skill.Value.Exists:
		return NotChecked, j.listed()
	case j.p.Action == fleet.ActionDisable:
		return Pass, "disabling links nothing"
	case home && j.p.LinkMode == fleet.LinkNone && seen:
		return Warn, "it is a smart home skill, which links accounts, and the account's link mode is none; homes were seen linked all the same: " + mend
	case home && j.p.LinkMode == fleet.LinkNone:
		return Fail, "it is a smart home skill, which links accounts, and the account's link mode is none: " + mend
	case home:
		return Pass, fmt.Sprintf("it is a smart home skill, and the account links (%s)", j.p.LinkMode)
	case seen && j.p.LinkMode == fleet.LinkNone:
		return Warn, "homes were seen linked, and the account's link mode is none: " + mend
	case seen:
		return Pass, fmt.Sprintf("homes were seen linked, and the account links (%s)", j.p.LinkMode)
	case !sure:
		return unknown(firstOf(j.f.Manifest.Why, j.f.Skill.Why, "it is not known which APIs it has"))
	case j.p.LinkMode == fleet.LinkCodes:
		return Warn, "there is no sign that it links accounts, and the account sends a code with every write: if it does not, " +
			fmt.Sprintf("use an account whose link mode is none (`fleetctl account set %s --link-mode none`)", j.p.Account)
	}
	return Pass, "there is no sign that it links accounts"
}

// isSmartHome says whether the skill has the smart home API, and whether that is known:
// the manifest knows, and the list does.
func (j judge) isSmartHome() (home, sure bool) {
	if m := j.f.Manifest; m.Known && m.Value.Found {
		home, sure = slices.Contains(m.Value.APIs, smartHome), true
	}
	if s := j.f.Skill; s.Known && s.Value.Own {
		if l, ok := s.Value.at(j.p.Stage); ok && l.APIs != nil {
			home, sure = home || slices.Contains(l.APIs, smartHome), true
		}
	}
	return home, sure
}

func firstOf(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}
