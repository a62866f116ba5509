package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/preflight"
	"fleetd/internal/remote"
	"fleetd/internal/store"
)

// told is a skillAPI that answers what it is told, after a while.
type told struct {
	skill    preflight.Skill
	build    preflight.Build
	manifest preflight.Manifest
	enabled  bool

	skillErr, buildErr, manifestErr, enabledErr error

	takes time.Duration
	calls atomic.Int32
}

// sound answers of a skill that nothing is wrong with.
func sound() *told {
	return &told{
		skill: preflight.Skill{Exists: true, Own: true, Vendor: "M2V", Listing: []preflight.Listed{
			{Stage: "development", Publication: "DEVELOPMENT"}, {Stage: "live", Publication: "PUBLISHED"},
		}},
		build: preflight.Build{Status: "SUCCEEDED"}, manifest: preflight.Manifest{Found: true, Worldwide: true}, enabled: true,
	}
}

func (a *told) answer(ctx context.Context, err error) error {
	a.calls.Add(1)
	if ctx.Err() == nil && a.takes > 0 {
		timer := time.NewTimer(a.takes)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
	return err
}

func (a *told) Skill(ctx context.Context, _ string) (preflight.Skill, error) {
	return a.skill, a.answer(ctx, a.skillErr)
}

func (a *told) Build(ctx context.Context, _ string) (preflight.Build, error) {
	return a.build, a.answer(ctx, a.buildErr)
}

func (a *told) Manifest(ctx context.Context, _ string, _ fleet.Stage) (preflight.Manifest, error) {
	return a.manifest, a.answer(ctx, a.manifestErr)
}

func (a *told) Enabled(ctx context.Context, _ string, _ fleet.Stage) (bool, error) {
	return a.enabled, a.answer(ctx, a.enabledErr)
}

func asked(change ...func(*preflight.Query)) preflight.Query {
	q := preflight.Query{Account: "acme", Action: fleet.ActionEnable, SkillID: skill, Stage: fleet.StageDevelopment, Why: preflight.WhyCheck}
	for _, f := range change {
		f(&q)
	}
	return q
}

func unlinked(context.Context) (bool, error) { return false, nil }

// Everything is asked at once, and no more than matters.
func TestAPreflightAsksAtOnceWhatMatters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*preflight.Query)
		calls  int32
	}{
		"enable at development":   {func(*preflight.Query) {}, 4},
		"enable at live":          {func(q *preflight.Query) { q.Stage = fleet.StageLive }, 3},
		"enable at certification": {func(q *preflight.Query) { q.Stage = fleet.StageCertification }, 3},
		"disable at live":         {func(q *preflight.Query) { q.Stage, q.Action = fleet.StageLive, fleet.ActionDisable }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				api, began := sound(), time.Now()
				api.takes = time.Second
				f := gather(t.Context(), api, asked(c.change), unlinked)
				require.Equal(t, c.calls, api.calls.Load())
				require.Equal(t, time.Second, time.Since(began))
				require.True(t, f.Skill.Known)
				require.True(t, f.Build.Known)
				require.True(t, f.LinkSeen.Known)
			})
		})
	}
}

// An API that does not answer makes a plan wait no longer than it may, and is not_checked.
func TestAnAPIThatDoesNotAnswerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, began := sound(), time.Now()
		api.takes = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), preflightTime)
		defer cancel()
		f := gather(ctx, api, asked(), unlinked)
		require.Equal(t, preflightTime, time.Since(began))
		r := preflight.Judge(preflight.Params{Account: "acme", Action: fleet.ActionEnable, Stage: fleet.StageDevelopment}, f)
		require.Equal(t, preflight.NotChecked, r.Result)
		for _, check := range r.Checks {
			require.Contains(t, check.Message, "not read within 8s", check.Name)
		}
	})
}

// Whatever an API answers, it fails nothing that it did not see.
func TestAnAPIThatFailsIsNotChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		says string
	}{
		"throttled":   {&remote.Error{API: "manifest", Status: http.StatusTooManyRequests}, "pushes back"},
		"overloaded":  {&remote.Error{API: "manifest", Status: http.StatusServiceUnavailable}, "pushes back"},
		"budget":      {&remote.Error{API: "manifest", Err: &remote.BudgetError{}}, "pushes back"},
		"broken":      {&remote.Error{API: "manifest", Operation: "list_skills", Status: http.StatusInternalServerError}, "answered 500"},
		"passing":     {&remote.Error{API: "manifest", Operation: "list_skills", Status: http.StatusBadGateway}, "try again later"},
		"broken off":  {&remote.Error{API: "manifest", Operation: "list_skills", Err: io.EOF}, "the connection broke off before an answer came (EOF); try again later"},
		"forbidden":   {&remote.Error{API: "manifest", Operation: "list_skills", Status: http.StatusForbidden}, "answered 403"},
		"unreachable": {errors.New("connection refused"), "connection refused"},
		"no token in time": {
			&remote.Error{API: "manifest", Err: &lwa.TokenError{
				Account: "acme", Kind: fleet.CredentialDeveloper, Status: http.StatusBadGateway, Err: context.DeadlineExceeded,
			}}, "was not read: the developer credential of account acme: get an access token from Login with Amazon: status 502",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := sound()
			api.skillErr, api.buildErr, api.manifestErr, api.enabledErr = c.err, c.err, c.err, c.err
			f := gather(t.Context(), api, asked(), unlinked)
			r := preflight.Judge(preflight.Params{Account: "acme", Action: fleet.ActionEnable, Stage: fleet.StageDevelopment}, f)
			require.Equal(t, preflight.NotChecked, r.Result, r.Message)
			require.Contains(t, r.Checks[0].Message, c.says)
		})
	}
}

// A credential that is refused is said once, and not seven times.
func TestARefusedCredentialIsSaidOnce(t *testing.T) {
	t.Parallel()
	api := sound()
	api.buildErr = &remote.Error{API: "manifest", Err: &lwa.UnauthorizedError{Account: "acme", Kind: fleet.CredentialDeveloper, Reason: "invalid_grant"}}
	f := gather(t.Context(), api, asked(), unlinked)
	require.Contains(t, f.None, "the developer credential of account acme is not authorized")
	require.Contains(t, f.None, "fleetctl account credential set acme --kind developer")
}

// What is not in the vendor's list is no skill, or another's, or not known to be either.
func TestASkillThatIsNotInTheList(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want preflight.Result
		says string
	}{
		"none":      {errNoSkill, preflight.Fail, "no such skill"},
		"another's": {errNotOurs, preflight.Warn, "not in the list of vendor M2V"},
		"seen":      {nil, preflight.Warn, "not in the list of vendor M2V"},
		"not known": {&remote.Error{Status: http.StatusBadGateway}, preflight.NotChecked, "could not be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := sound()
			api.skill, api.buildErr = preflight.Skill{Vendor: "M2V"}, c.err
			f := gather(t.Context(), api, asked(), unlinked)
			r := preflight.Judge(preflight.Params{Account: "acme", Action: fleet.ActionEnable, Stage: fleet.StageDevelopment}, f)
			require.Equal(t, c.want, r.Checks[0].Result, r.Checks[0].Message)
			require.Contains(t, r.Checks[0].Message, c.says)
			require.NotEqual(t, preflight.Pass, r.Checks[2].Result)
		})
	}
}

// preflights is what the world's database and an API tell.
func preflights(w *world, api skillAPI, err error) *Preflights {
	return &Preflights{
		store: w.store, logger: slog.New(slog.DiscardHandler),
		open: func(context.Context, string) (skillAPI, error) { return api, err },
	}
}

func run(t *testing.T, c *Preflights, q preflight.Query) preflight.Report {
	t.Helper()
	reports, err := c.Run(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, reports, 1)
	return reports[0]
}

// Of many changes each has its report, in their order.
func TestManyChangesAreChecked(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme")
	var queries []preflight.Query
	for i := range 3 * preflightsAtOnce {
		queries = append(queries, asked(func(q *preflight.Query) { q.SkillID = fmt.Sprint(i) }))
	}
	reports, err := preflights(w, sound(), nil).Run(t.Context(), queries...)
	require.NoError(t, err)
	require.Len(t, reports, len(queries))
	for i, r := range reports {
		require.Equal(t, fmt.Sprint(i), r.SkillID)
	}
	none, err := preflights(w, sound(), nil).Run(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestAPreflightIsKeptWhereSomethingWasSeen(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme")
	r := run(t, preflights(w, sound(), nil), asked())
	require.Equal(t, preflight.Pass, r.Result, "%+v", r.Checks)
	require.Equal(t, preflight.WhyCheck, r.Why)
	require.False(t, r.CheckedAt.IsZero())
	kept, err := w.store.Preflights(t.Context(), "acme", skill)
	require.NoError(t, err)
	require.Equal(t, []preflight.Report{r}, kept)

	none := run(t, preflights(w, nil, noAccess("acme", fleet.CredentialDeveloper)), asked())
	require.Equal(t, preflight.NotChecked, none.Result)
	require.Contains(t, none.Message, "fleetctl account credential set acme --kind developer")
	kept, err = w.store.Preflights(t.Context(), "acme", skill)
	require.NoError(t, err)
	require.Equal(t, []preflight.Report{r}, kept, "what was seen before stays")

	away := errors.New("connection refused")
	silent := sound()
	silent.skillErr, silent.buildErr, silent.manifestErr, silent.enabledErr = away, away, away, away
	live := asked(func(q *preflight.Query) { q.Stage = fleet.StageLive })
	require.Equal(t, preflight.NotChecked, run(t, preflights(w, silent, nil), asked()).Result)
	run(t, preflights(w, silent, nil), live)
	kept, err = w.store.Preflights(t.Context(), "acme", skill)
	require.NoError(t, err)
	require.Equal(t, []preflight.Report{r}, kept, "nor does an API that is away take it")

	_, err = preflights(w, sound(), nil).Run(t.Context(), asked(func(q *preflight.Query) { q.Account = "nobody" }))
	require.ErrorContains(t, err, `"nobody"`)
	for _, err := range []error{errors.New("no database"), &fleet.Error{Code: fleet.CodeUnavailable, Message: "no database"}} {
		_, err = preflights(w, nil, err).Run(t.Context(), asked())
		require.ErrorContains(t, err, "no database")
	}
	gone, cancel := context.WithCancel(t.Context())
	api := sound()
	api.enabledErr = errors.New("gone")
	left := preflights(w, api, nil)
	open := left.open
	left.open = func(ctx context.Context, a string) (skillAPI, error) { cancel(); return open(ctx, a) }
	_, err = left.Run(gone, asked())
	require.ErrorIs(t, err, context.Canceled, "the caller has gone")
}

// What an event has looked at anew, and cannot be looked at now, is looked at later.
func TestARefreshSaysWhetherToAskAgain(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme")
	code := func(err error) fleet.Code {
		var e *fleet.Error
		require.ErrorAs(t, err, &e)
		return e.Code
	}
	_, err := preflights(w, nil, noAccess("acme", fleet.CredentialDeveloper)).Refresh(t.Context(), "acme", skill)
	require.Equal(t, fleet.CodeConflict, code(err))
	require.ErrorContains(t, err, "fleetctl account credential set acme --kind developer")

	away := &remote.Error{API: "manifest", Status: http.StatusTooManyRequests}
	api := sound()
	api.skillErr, api.buildErr, api.manifestErr, api.enabledErr = away, away, away, away
	_, err = preflights(w, api, nil).Refresh(t.Context(), "acme", skill)
	require.Equal(t, fleet.CodeUnavailable, code(err))
	require.ErrorContains(t, err, "pushes back")

	said, err := preflights(w, sound(), nil).Refresh(t.Context(), "acme", skill)
	require.NoError(t, err)
	require.Equal(t, "enable at live: pass (7 passed); enable at development: pass (7 passed)", said)
}

// The account's countries and link mode count.
func TestAPreflightKnowsItsAccount(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme")
	_, err := w.store.SetAccount(t.Context(), "acme", store.AccountPatch{Countries: []string{"CA"}}, w.by)
	require.NoError(t, err)
	api := sound()
	api.manifest = preflight.Manifest{Found: true, Countries: []string{"US"}, APIs: []string{"smartHome"}}
	r := run(t, preflights(w, api, nil), asked(func(q *preflight.Query) { q.Stage = fleet.StageLive }))
	require.Len(t, r.Failed(), 2)
	require.Equal(t, preflight.Countries, r.Failed()[0].Name)
	require.Contains(t, r.Failed()[0].Message, "CA")
	require.Equal(t, preflight.AccountLinking, r.Failed()[1].Name)
}
