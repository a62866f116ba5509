package preflight_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
)

// change is an enable of a skill at a stage.
func change(stage fleet.Stage, edit ...func(*preflight.Params)) preflight.Params {
	p := preflight.Params{
		Account: "acme", Action: fleet.ActionEnable, SkillID: "amzn1.ask.skill.x", Stage: stage,
		Countries: []string{"US"}, LinkMode: fleet.LinkNone,
	}
	for _, f := range edit {
		f(&p)
	}
	return p
}

func disable(p *preflight.Params) { p.Action = fleet.ActionDisable }

// sound is what is known of a skill that nothing is wrong with, at development and live.
func sound(edit ...func(*preflight.Facts)) preflight.Facts {
	f := preflight.Facts{
		Skill: preflight.Know(preflight.Skill{Exists: true, Own: true, Vendor: "M2V", Listing: []preflight.Listed{
			{Stage: "development", Publication: "DEVELOPMENT", APIs: []string{"custom"}},
			{Stage: "live", Publication: "PUBLISHED", APIs: []string{"custom"}},
		}}),
		Build:    preflight.Know(preflight.Build{Status: "SUCCEEDED"}),
		Manifest: preflight.Know(preflight.Manifest{Found: true, Countries: []string{"GB", "US"}, APIs: []string{"custom"}}),
		Enabled:  preflight.Know(true),
		LinkSeen: preflight.Know(false),
	}
	for _, e := range edit {
		e(&f)
	}
	return f
}

func listing(l ...preflight.Listed) func(*preflight.Facts) {
	return func(f *preflight.Facts) {
		f.Skill = preflight.Know(preflight.Skill{Exists: true, Own: true, Vendor: "M2V", Listing: l})
	}
}

func published(status string) func(*preflight.Facts) {
	return listing(preflight.Listed{Stage: "live", Publication: status})
}

func built(status string, errs ...string) func(*preflight.Facts) {
	return func(f *preflight.Facts) { f.Build = preflight.Know(preflight.Build{Status: status, Errors: errs}) }
}

func manifest(m preflight.Manifest) func(*preflight.Facts) {
	return func(f *preflight.Facts) { m.Found = true; f.Manifest = preflight.Know(m) }
}

func linkMode(m fleet.LinkMode) func(*preflight.Params) {
	return func(p *preflight.Params) { p.LinkMode = m }
}

func in(countries ...string) func(*preflight.Params) {
	return func(p *preflight.Params) { p.Countries = countries }
}

func linkSeen(f *preflight.Facts) { f.LinkSeen = preflight.Know(true) }

var home = manifest(preflight.Manifest{Worldwide: true, APIs: []string{"custom", "smartHome"}})

func find(t *testing.T, r preflight.Report, name preflight.Name) preflight.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no check %s", name)
	return preflight.Check{}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	dev, live := fleet.StageDevelopment, fleet.StageLive
	for name, c := range map[string]struct {
		params preflight.Params
		facts  preflight.Facts
		check  preflight.Name
		want   preflight.Result
		says   string
	}{
		"a skill of the vendor": {change(live), sound(), preflight.SkillExists, preflight.Pass, "vendor M2V"},
		"a skill that is none": {
			change(live), sound(func(f *preflight.Facts) { f.Skill = preflight.Know(preflight.Skill{}) }),
			preflight.SkillExists, preflight.Fail, "fleetctl skill list --account acme",
		},
		"a skill that is none, disabled": {
			change(live, disable), sound(func(f *preflight.Facts) { f.Skill = preflight.Know(preflight.Skill{}) }),
			preflight.SkillExists, preflight.Warn, "no such skill",
		},
		"a skill of another vendor": {
			change(live), sound(func(f *preflight.Facts) { f.Skill = preflight.Know(preflight.Skill{Exists: true, Vendor: "M2V"}) }),
			preflight.SkillExists, preflight.Warn, "not in the list of vendor M2V",
		},
		"a list that was not read": {
			change(live), sound(func(f *preflight.Facts) { f.Skill = preflight.Unknown[preflight.Skill]("the API is away") }),
			preflight.SkillExists, preflight.NotChecked, "the API is away",
		},

		"a build that succeeded":     {change(live), sound(), preflight.ManifestBuild, preflight.Pass, "succeeded"},
		"a build under way":          {change(dev), sound(built("IN_PROGRESS")), preflight.ManifestBuild, preflight.Warn, "under way"},
		"a build that failed":        {change(dev), sound(built("FAILED", "icon too small", "no endpoint")), preflight.ManifestBuild, preflight.Fail, "(icon too small, and 1 more)"},
		"a build that failed, live":  {change(live), sound(built("FAILED")), preflight.ManifestBuild, preflight.Fail, "fleetctl skill update"},
		"a failed build, disabled":   {change(live, disable), sound(built("FAILED")), preflight.ManifestBuild, preflight.Warn, "failed"},
		"a build never heard of":     {change(live), sound(built("QUEUED")), preflight.ManifestBuild, preflight.Warn, `"QUEUED"`},
		"no build on record":         {change(live), sound(built("")), preflight.ManifestBuild, preflight.NotChecked, "no manifest update"},
		"a stage that is there":      {change(live), sound(), preflight.StageExists, preflight.Pass, "live"},
		"a stage that is not there":  {change(live), sound(listing(preflight.Listed{Stage: "development"})), preflight.StageExists, preflight.Fail, "it is at: development"},
		"no stage at all":            {change(live), sound(listing()), preflight.StageExists, preflight.Fail, "it is at: nowhere"},
		"certification":              {change(fleet.StageCertification), sound(listing(preflight.Listed{Stage: "certification"})), preflight.StageExists, preflight.Pass, ""},
		"certification as certified": {change(fleet.StageCertification), sound(listing(preflight.Listed{Stage: "certified"})), preflight.StageExists, preflight.Pass, ""},
		"certified is not live":      {change(live), sound(listing(preflight.Listed{Stage: "certified"})), preflight.StageExists, preflight.Fail, ""},

		"published":           {change(live), sound(), preflight.Publication, preflight.Pass, "PUBLISHED"},
		"in development":      {change(dev), sound(), preflight.Publication, preflight.Pass, "DEVELOPMENT"},
		"hidden":              {change(live), sound(published("HIDDEN")), preflight.Publication, preflight.Fail, "HIDDEN"},
		"hidden, disabled":    {change(live, disable), sound(published("HIDDEN")), preflight.Publication, preflight.Pass, "no obstacle"},
		"removed":             {change(live), sound(published("REMOVED")), preflight.Publication, preflight.Fail, "REMOVED"},
		"removed, disabled":   {change(live, disable), sound(published("REMOVED")), preflight.Publication, preflight.Warn, "REMOVED"},
		"a publication anew":  {change(live), sound(published("ARCHIVED")), preflight.Publication, preflight.Warn, `"ARCHIVED"`},
		"no publication":      {change(live), sound(published("")), preflight.Publication, preflight.NotChecked, ""},
		"hidden at another":   {change(dev), sound(listing(preflight.Listed{Stage: "live", Publication: "HIDDEN"}, preflight.Listed{Stage: "development", Publication: "DEVELOPMENT"})), preflight.Publication, preflight.Pass, ""},
		"published elsewhere": {change(live), sound(listing(preflight.Listed{Stage: "development"})), preflight.Publication, preflight.NotChecked, "stage live"},

		"countries that hold":         {change(live), sound(), preflight.Countries, preflight.Pass, "US"},
		"worldwide":                   {change(live, in("JP")), sound(manifest(preflight.Manifest{Worldwide: true})), preflight.Countries, preflight.Pass, "worldwide"},
		"worldwide, countries or not": {change(live, in()), sound(manifest(preflight.Manifest{Worldwide: true})), preflight.Countries, preflight.Pass, "worldwide"},
		"a country too many":          {change(live, in("CA", "US", "MX")), sound(), preflight.Countries, preflight.Fail, "not distributed in CA, MX,"},
		"a country too many, dev":     {change(dev, in("CA")), sound(), preflight.Countries, preflight.Warn, "CA"},
		"a country too many, off":     {change(live, in("CA"), disable), sound(), preflight.Countries, preflight.Pass, "no obstacle"},
		"countries nobody said":       {change(live, in()), sound(), preflight.Countries, preflight.NotChecked, "fleetctl account set acme --country US"},
		"a manifest without any":      {change(live), sound(manifest(preflight.Manifest{})), preflight.Countries, preflight.Warn, "does not say"},
		"no manifest":                 {change(live), sound(func(f *preflight.Facts) { f.Manifest = preflight.Know(preflight.Manifest{}) }), preflight.Countries, preflight.NotChecked, "no manifest"},

		"a developer's own at live":   {change(live), sound(func(f *preflight.Facts) { f.Enabled = preflight.Know(false) }), preflight.DeveloperEnablement, preflight.Pass, "live"},
		"a developer's own":           {change(dev), sound(), preflight.DeveloperEnablement, preflight.Pass, "development"},
		"a developer's own, missing":  {change(dev), sound(func(f *preflight.Facts) { f.Enabled = preflight.Know(false) }), preflight.DeveloperEnablement, preflight.Fail, "fleetctl skill enable amzn1.ask.skill.x --stage development --account acme"},
		"a developer's own, not told": {change(dev), sound(func(f *preflight.Facts) { f.Enabled = preflight.Unknown[bool]("throttled") }), preflight.DeveloperEnablement, preflight.NotChecked, "throttled"},
		"a developer's own, off":      {change(dev, disable), sound(func(f *preflight.Facts) { f.Enabled = preflight.Know(false) }), preflight.DeveloperEnablement, preflight.Warn, ""},

		"no links":                   {change(live), sound(), preflight.AccountLinking, preflight.Pass, "no sign"},
		"no links, codes":            {change(live, linkMode(fleet.LinkCodes)), sound(), preflight.AccountLinking, preflight.Warn, "--link-mode none"},
		"no links, delegated":        {change(live, linkMode(fleet.LinkDelegated)), sound(), preflight.AccountLinking, preflight.Pass, ""},
		"smart home, none":           {change(live), sound(home), preflight.AccountLinking, preflight.Fail, "fleetctl account set acme --link-mode delegated"},
		"smart home, none, linked":   {change(live), sound(home, linkSeen), preflight.AccountLinking, preflight.Warn, "all the same"},
		"smart home, codes":          {change(live, linkMode(fleet.LinkCodes)), sound(home), preflight.AccountLinking, preflight.Pass, "(codes)"},
		"smart home, none, disabled": {change(live, disable), sound(home), preflight.AccountLinking, preflight.Pass, "links nothing"},
		"smart home by the list":     {change(live), sound(listing(preflight.Listed{Stage: "live", APIs: []string{"smartHome"}})), preflight.AccountLinking, preflight.Fail, "smart home"},
		"links seen, none":           {change(live), sound(linkSeen), preflight.AccountLinking, preflight.Warn, "seen linked"},
		"links seen, delegated":      {change(live, linkMode(fleet.LinkDelegated)), sound(linkSeen), preflight.AccountLinking, preflight.Pass, "(delegated)"},
		"links not known":            {change(live), preflight.Facts{Skill: preflight.Unknown[preflight.Skill]("away")}, preflight.AccountLinking, preflight.NotChecked, "away"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := find(t, preflight.Judge(c.params, c.facts), c.check)
			require.Equal(t, c.want, got.Result, got.Message)
			require.Contains(t, got.Message, c.says)
		})
	}
}

// What rests on a skill that is not there, or not to be seen, says so instead of passing.
func TestWhatCannotBeSeenIsNotChecked(t *testing.T) {
	t.Parallel()
	for name, skill := range map[string]preflight.Skill{"none": {}, "another's": {Exists: true, Vendor: "M2V"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := preflight.Judge(change(fleet.StageDevelopment), sound(func(f *preflight.Facts) {
				f.Skill, f.Build = preflight.Know(skill), preflight.Unknown[preflight.Build]("it is another vendor's")
			}))
			for _, name := range []preflight.Name{
				preflight.ManifestBuild, preflight.StageExists, preflight.Publication, preflight.Countries, preflight.DeveloperEnablement,
			} {
				require.Equal(t, preflight.NotChecked, find(t, r, name).Result, name)
			}
		})
	}
}

// A skill whose first build failed is in no list: its status tells all the same.
func TestASkillThatWasNeverBuilt(t *testing.T) {
	t.Parallel()
	r := preflight.Judge(change(fleet.StageDevelopment), sound(built("FAILED"), func(f *preflight.Facts) {
		f.Skill = preflight.Know(preflight.Skill{Exists: true, Vendor: "M2V"})
	}))
	require.Equal(t, preflight.Fail, r.Result)
	require.Equal(t, preflight.Warn, find(t, r, preflight.SkillExists).Result)
	require.Equal(t, preflight.Fail, find(t, r, preflight.ManifestBuild).Result)
}

func TestALineSaysWhatCameOfIt(t *testing.T) {
	t.Parallel()
	all := preflight.Judge(change(fleet.StageLive), sound())
	require.Equal(t, preflight.Pass, all.Result)
	require.Equal(t, "7 passed", all.Message)

	some := preflight.Judge(change(fleet.StageLive, in()), sound(published("HIDDEN"), built("IN_PROGRESS")))
	require.Equal(t, preflight.Fail, some.Result)
	require.Equal(t, "1 failed, 1 with a warning, 4 passed, 1 not checked", some.Message)
	require.Equal(t, []preflight.Check{find(t, some, preflight.Publication)}, some.Failed())

	none := preflight.Judge(change(fleet.StageLive), preflight.Facts{None: "no developer credential"})
	require.Equal(t, preflight.NotChecked, none.Result)
	require.Equal(t, "no developer credential", none.Message)
}
