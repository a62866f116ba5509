package preflight_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
)

func some(words ...string) *rapid.Generator[string] {
	return rapid.OneOf(rapid.SampledFrom(words), rapid.String())
}

func drawParams() *rapid.Generator[preflight.Params] {
	return rapid.Custom(func(t *rapid.T) preflight.Params {
		return preflight.Params{
			Account:   rapid.StringN(0, 5, -1).Draw(t, "account"),
			Action:    rapid.SampledFrom(append(fleet.Actions(), "", "toggle")).Draw(t, "action"),
			SkillID:   rapid.StringN(0, 5, -1).Draw(t, "skill"),
			Stage:     rapid.SampledFrom(append(fleet.Stages(), "", "beta")).Draw(t, "stage"),
			Countries: rapid.SliceOfN(some("US", "CA", "DE"), 0, 3).Draw(t, "countries"),
			LinkMode:  rapid.SampledFrom(append(fleet.LinkModes(), "", "magic")).Draw(t, "link mode"),
		}
	})
}

func drawFact[T any](value *rapid.Generator[T]) *rapid.Generator[preflight.Fact[T]] {
	return rapid.Custom(func(t *rapid.T) preflight.Fact[T] {
		return preflight.Fact[T]{
			Known: rapid.Bool().Draw(t, "known"),
			Value: value.Draw(t, "value"),
			Why:   rapid.SampledFrom([]string{"", "throttled", "away"}).Draw(t, "why"),
		}
	})
}

func drawFacts() *rapid.Generator[preflight.Facts] {
	apis := rapid.SliceOfN(some("custom", "smartHome", "video"), 0, 3)
	listed := rapid.Custom(func(t *rapid.T) preflight.Listed {
		return preflight.Listed{
			Stage:       some("development", "certification", "certified", "live", "").Draw(t, "stage"),
			Publication: some("DEVELOPMENT", "CERTIFICATION", "CERTIFIED", "PUBLISHED", "HIDDEN", "REMOVED", "").Draw(t, "publication"),
			APIs:        apis.Draw(t, "apis"),
		}
	})
	skill := rapid.Custom(func(t *rapid.T) preflight.Skill {
		return preflight.Skill{
			Exists: rapid.Bool().Draw(t, "exists"), Own: rapid.Bool().Draw(t, "own"), Vendor: "M2V",
			Listing: rapid.SliceOfN(listed, 0, 3).Draw(t, "listing"),
		}
	})
	build := rapid.Custom(func(t *rapid.T) preflight.Build {
		return preflight.Build{
			Status: some("SUCCEEDED", "FAILED", "IN_PROGRESS", "").Draw(t, "status"),
			Errors: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "errors"),
		}
	})
	manifest := rapid.Custom(func(t *rapid.T) preflight.Manifest {
		return preflight.Manifest{
			Found: rapid.Bool().Draw(t, "found"), Worldwide: rapid.Bool().Draw(t, "worldwide"),
			Countries: rapid.SliceOfN(some("US", "CA", "DE"), 0, 3).Draw(t, "distribution"), APIs: apis.Draw(t, "apis"),
		}
	})
	return rapid.Custom(func(t *rapid.T) preflight.Facts {
		return preflight.Facts{
			Skill: drawFact(skill).Draw(t, "skill"), Build: drawFact(build).Draw(t, "build"),
			Manifest: drawFact(manifest).Draw(t, "manifest"), Enabled: drawFact(rapid.Bool()).Draw(t, "enabled"),
			LinkSeen: drawFact(rapid.Bool()).Draw(t, "link seen"),
		}
	})
}

// Whatever is known, every check is made once, in order, with one of the four results and
// something to read; what all come to is the worst of them; and it is the same each time.
func TestEveryCheckHasAnAnswer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, f := drawParams().Draw(t, "params"), drawFacts().Draw(t, "facts")
		r := preflight.Judge(p, f)
		names, worst := preflight.Names(), map[preflight.Result]bool{}
		require.Len(t, r.Checks, len(names))
		for i, c := range r.Checks {
			require.Equal(t, names[i], c.Name)
			require.Contains(t, preflight.Results(), c.Result)
			require.NotEmpty(t, c.Message, c.Name)
			worst[c.Result] = true
		}
		require.NotEmpty(t, r.Message)
		require.Equal(t, worst[preflight.Fail], r.Result == preflight.Fail)
		require.Equal(t, worst[preflight.Fail], len(r.Failed()) > 0)
		require.Equal(t, worst[preflight.Warn] && !worst[preflight.Fail], r.Result == preflight.Warn)
		require.Equal(t, !worst[preflight.Fail] && !worst[preflight.Warn] &&
			r.Checks[0].Result == preflight.Pass, r.Result == preflight.Pass, "what passes where nobody saw the skill says nothing of it")
		require.Equal(t, r, preflight.Judge(p, f))
	})
}

// Where nothing was asked, nothing passes and nothing fails, whatever else is known.
func TestWhereNothingWasAskedNothingIsChecked(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := drawFacts().Draw(t, "facts")
		f.None = "account acme has no developer credential"
		r := preflight.Judge(drawParams().Draw(t, "params"), f)
		require.Equal(t, preflight.NotChecked, r.Result)
		require.Equal(t, f.None, r.Message)
		for _, c := range r.Checks {
			require.Equal(t, preflight.Check{Name: c.Name, Result: preflight.NotChecked, Message: f.None}, c)
		}
	})
}

// A disable is the way out of trouble: no check fails one, and a hidden skill does not
// even warn of it.
func TestNoCheckFailsADisable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, f := drawParams().Draw(t, "params"), drawFacts().Draw(t, "facts")
		p.Action = fleet.ActionDisable
		r := preflight.Judge(p, f)
		require.Empty(t, r.Failed())
		require.NotEqual(t, preflight.Fail, r.Result)
		f.Skill = preflight.Know(preflight.Skill{Exists: true, Own: true, Listing: []preflight.Listed{{Stage: string(p.Stage), Publication: "HIDDEN"}}})
		require.Equal(t, preflight.Pass, preflight.Judge(p, f).Checks[3].Result)
	})
}

// What is not known fails nothing: forgetting facts takes failures away and adds none.
func TestNotKnowingFailsNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, f := drawParams().Draw(t, "params"), drawFacts().Draw(t, "facts")
		f.Skill.Known, f.Build.Known, f.Manifest.Known, f.Enabled.Known = false, false, false, false
		require.Empty(t, preflight.Judge(p, f).Failed())
	})
}
