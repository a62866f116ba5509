package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func TestAttemptLinksByCodes(t *testing.T) {
	t.Parallel()
	fresh := observed(isAbsent, time.Minute)
	linked, unlinked := record(201, isEnabled, "live", fleet.Linked), record(201, isEnabled, "live", fleet.NotLinked)
	done := outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, before: isAbsent, after: isEnabled}
	again := outcome{state: fleet.TargetQueued, attempts: 1, before: isAbsent, after: isAbsent, next: backoff}
	refused := says("code server", failedWith(fleet.ReasonAccountLinkFailed, 1, 0, 0, isAbsent, isAbsent))
	situations := map[string]*situation{
		"a code just before the write": {target: fresh, steps: stepsOf{"CODE", answer{status: 200}, "POST", linked}, want: done},
		"a skill that links nothing":   {target: fresh, steps: stepsOf{"CODE", answer{status: 200}, "POST", created}, want: done},
		"no code for a home in state":  {target: observed(isEnabled, time.Minute), want: outcome{state: fleet.TargetSkipped, reason: fleet.ReasonAlreadyInState, attempts: 1, before: isEnabled, after: isEnabled}},
		"no code while paused":         {target: fresh, gate: []error{ErrHeld}, want: outcome{state: fleet.TargetQueued, before: isAbsent, after: isAbsent}},
		"paused after the code": {
			target: fresh, gate: []error{nil, ErrHeld}, steps: stepsOf{"CODE", answer{status: 200}},
			want: outcome{state: fleet.TargetQueued, before: isAbsent, after: isAbsent},
		},
		"a new code for a second write": {
			target: prior(fleet.TargetVerifying, 1, 1), steps: stepsOf{"GET", absent, "CODE", answer{status: 200}, "POST", linked},
			want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 2, requests: 2, after: isEnabled},
		},
		"a new code for a write that was throttled": {
			target: fresh, steps: stepsOf{"CODE", answer{status: 200}, "POST", problem(429), "CODE", answer{status: 200}, "POST", linked},
			want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 2, before: isAbsent, after: isEnabled},
		},
		"a new code for a write with a new token": {
			target: fresh, steps: stepsOf{"CODE", answer{status: 200}, "POST", problem(401), "CODE", answer{status: 200}, "POST", linked},
			want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 2, before: isAbsent, after: isEnabled},
		},
		"no code for a write that was throttled": {
			target: fresh, steps: stepsOf{"CODE", answer{status: 200}, "POST", problem(429), "CODE", problem(503)},
			want: outcome{state: fleet.TargetQueued, attempts: 1, requests: 1, before: isAbsent, after: isAbsent, next: backoff},
		},
		"paused before the code of a write that was throttled": {
			target: fresh, gate: []error{nil, nil, ErrHeld}, steps: stepsOf{"CODE", answer{status: 200}, "POST", problem(429)},
			want: outcome{state: fleet.TargetQueued, requests: 1, before: isAbsent, after: isAbsent},
		},
		"no code without a slot": {
			target: fresh, slots: slots{refuse: after(0, context.DeadlineExceeded)},
			want: outcome{state: fleet.TargetQueued, before: isAbsent, after: isAbsent, next: backoff},
		},
		"a lost write takes its code with it": {
			target: fresh, steps: stepsOf{"CODE", answer{status: 200}, "POST", answer{cut: true}},
			want: outcome{state: fleet.TargetVerifying, attempts: 1, writes: 1, requests: 1, before: isAbsent, after: isAbsent, next: second},
		},
		"no code: refused":                {target: fresh, steps: stepsOf{"CODE", problem(400)}, want: refused},
		"no code: unknown":                {target: fresh, steps: stepsOf{"CODE", problem(404)}, want: refused},
		"no code: elsewhere":              {target: fresh, steps: stepsOf{"CODE", problem(302)}, want: refused},
		"no code: an answer without one":  {target: fresh, steps: stepsOf{"CODE", answer{status: 200, body: "{}"}}, want: refused},
		"no code: an answer of all sorts": {target: fresh, steps: stepsOf{"CODE", web(200)}, want: refused},
		"no code: overload":               {target: fresh, steps: stepsOf{"CODE", problem(503)}, want: again},
		"no code: too many":               {target: fresh, steps: stepsOf{"CODE", problem(429)}, want: again},
		"no code: lost":                   {target: fresh, steps: stepsOf{"CODE", answer{cut: true}}, want: again},
		"no code: lost for good": {
			target: both(fresh, func(t *store.ClaimedTarget) { t.Attempts = maxAttempts - 1 }), steps: stepsOf{"CODE", problem(503)},
			want: failedWith(fleet.ReasonAccountLinkFailed, maxAttempts, 0, 0, isAbsent, isAbsent),
		},
		"stopped while it waits for a code": { // nobody is to blame: no attempt
			target: fresh, cancel: true, steps: stepsOf{"CODE", answer{}},
			want: outcome{state: fleet.TargetQueued, before: isAbsent, after: isAbsent},
		},
		"not linked yet": {
			target: fresh, steps: stepsOf{"CODE", answer{status: 200}, "POST", unlinked},
			want: outcome{state: fleet.TargetVerifying, attempts: 1, writes: 1, requests: 1, before: isAbsent, after: isEnabled, next: second},
		},
		"linked later": {target: prior(fleet.TargetVerifying, 1, 1), steps: stepsOf{"GET", linked}, want: outcome{
			state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, after: isEnabled,
		}},
		"not linked at the deadline": {
			target: both(prior(fleet.TargetVerifying, 1, 1), overdue), steps: stepsOf{"GET", unlinked},
			want: says("not linked", failedWith(fleet.ReasonAccountLinkFailed, 1, 1, 1, "", isEnabled)),
		},
		"enabled before, and not linked": { // the write links it
			target: func(t *store.ClaimedTarget) {
				t.Observed = seen(isEnabled, time.Minute)
				t.Observed.AccountLink = fleet.NotLinked
			},
			steps: stepsOf{"CODE", answer{status: 200}, "POST", linked},
			want:  outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, before: isEnabled, after: isEnabled},
		},
		"read, enabled, and not linked": {
			steps: stepsOf{"GET", unlinked, "CODE", answer{status: 200}, "POST", linked},
			want:  outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 2, before: isEnabled, after: isEnabled},
		},
	}
	for name, c := range situations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.mode = fleet.LinkCodes
			_, s := c.try(t)
			for i, code := range s.codes {
				require.Equal(t, fmt.Sprintf("%s-%d for https://link.example/acme", secretCode, i+1), code, "each code is used once")
			}
		})
	}
}

func TestAttemptAsksForNoCodeInOtherModes(t *testing.T) {
	t.Parallel()
	unlinked := record(201, isEnabled, "live", fleet.NotLinked)
	fresh := observed(isAbsent, time.Minute)
	succeeded := outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, before: isAbsent, after: isEnabled}
	waiting := outcome{state: fleet.TargetVerifying, attempts: 1, writes: 1, requests: 1, before: isAbsent, after: isEnabled, next: second}
	runSituations(t, map[string]*situation{
		"none, and not linked":      {target: fresh, mode: fleet.LinkNone, steps: stepsOf{"POST", unlinked}, want: succeeded},
		"delegated, and not linked": {target: fresh, mode: fleet.LinkDelegated, steps: stepsOf{"POST", unlinked}, want: waiting},
		"delegated, and linked":     {target: fresh, mode: fleet.LinkDelegated, steps: stepsOf{"POST", record(201, isEnabled, "live", fleet.Linked)}, want: succeeded},
		"delegated, nothing links":  {target: fresh, mode: fleet.LinkDelegated, steps: stepsOf{"POST", created}, want: succeeded},
		"a disable needs no code": {
			target: observed(isEnabled, time.Minute), mode: fleet.LinkCodes, spec: disable, steps: stepsOf{"DELETE", gone},
			want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, before: isEnabled, after: isAbsent},
		},
	})
}

// What the code server is asked is a contract with the operator's own service.
func TestMintCodeAsksForOneUnit(t *testing.T) {
	t.Parallel()
	type asked struct {
		method, contentType string
		body                map[string]string
	}
	got := make(chan asked, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := asked{method: r.Method, contentType: r.Header.Get("Content-Type")}
		_ = json.NewDecoder(r.Body).Decode(&a.body)
		got <- a
		_, _ = w.Write([]byte(`{"code":"` + secretCode + `","expires_in":300}`))
	}))
	t.Cleanup(server.Close)
	acc := &Account{
		Name: "acme", Link: Link{Mode: fleet.LinkCodes, CodeURL: server.URL, RedirectURI: "https://link.example/acme"}, codes: server.Client(),
	}

	code, err := acc.mintCode(t.Context(), "u1", "s")

	require.NoError(t, err)
	require.Equal(t, secretCode, code)
	require.Equal(t, asked{"POST", "application/json", map[string]string{
		"account": "acme", "unit_id": "u1", "skill_id": "s", "redirect_uri": "https://link.example/acme",
	}}, <-got)

	acc.Link.CodeURL = "http://[broken"
	_, err = acc.mintCode(t.Context(), "u1", "s")
	require.ErrorContains(t, err, "fleetctl account set --code-url")
	refused := &codeError{}
	require.ErrorAs(t, err, &refused)
	require.True(t, refused.refused)
}

func TestAttemptDisables(t *testing.T) {
	t.Parallel()
	fresh := observed(isEnabled, time.Minute)
	done := outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, before: isEnabled, after: isAbsent}
	going := outcome{state: fleet.TargetVerifying, attempts: 1, writes: 1, requests: 1, before: isEnabled, after: fleet.StatusDisabling, next: second}
	lost := outcome{state: fleet.TargetVerifying, attempts: 1, writes: 1, requests: 1, before: isEnabled, after: isEnabled, next: second}
	inState := outcome{state: fleet.TargetSkipped, reason: fleet.ReasonAlreadyInState, attempts: 1, requests: 1, before: isAbsent, after: isAbsent}
	verifying := prior(fleet.TargetVerifying, 1, 1)
	disabling := record(200, fleet.StatusDisabling, "live", "")
	situations := map[string]*situation{
		"204":                          {target: fresh, steps: stepsOf{"DELETE", gone}, want: done},
		"200 and nothing":              {target: fresh, steps: stepsOf{"DELETE", answer{status: 200}}, want: done},
		"200 DISABLED":                 {target: fresh, steps: stepsOf{"DELETE", record(200, fleet.StatusDisabled, "live", "")}, want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, before: isEnabled, after: fleet.StatusDisabled}},
		"202":                          {target: fresh, steps: stepsOf{"DELETE", answer{status: 202}}, want: going},
		"DISABLING":                    {target: fresh, steps: stepsOf{"DELETE", disabling}, want: going},
		"DISABLING later":              {target: verifying, steps: stepsOf{"GET", disabling}, want: outcome{state: fleet.TargetVerifying, attempts: 1, writes: 1, requests: 1, after: fleet.StatusDisabling, next: span{30 * time.Second, 30 * time.Second}}},
		"DISABLING at the deadline":    {target: both(verifying, overdue), steps: stepsOf{"GET", disabling}, want: says("DISABLING", failedWith(fleet.ReasonVerifyTimeout, 1, 1, 1, "", fleet.StatusDisabling))},
		"gone later":                   {target: verifying, steps: stepsOf{"GET", absent}, want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, after: isAbsent}},
		"still there later":            {target: verifying, steps: stepsOf{"GET", enabled, "DELETE", gone}, want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 2, requests: 2, after: isAbsent}},
		"still there after all writes": {target: prior(fleet.TargetVerifying, 5, maxWrites), steps: stepsOf{"GET", enabled}, want: failedWith(fleet.ReasonServerError, 5, 5, 1, "", isEnabled)},
		"lost":                         {target: fresh, steps: stepsOf{"DELETE", answer{cut: true}}, want: lost},
		"500":                          {target: fresh, steps: stepsOf{"DELETE", problem(500)}, want: lost},
		"503":                          {target: fresh, steps: stepsOf{"DELETE", problem(503)}, want: lost},
		"absent already":               {steps: stepsOf{"GET", absent}, want: inState},
		"absent already, as DISABLED":  {steps: stepsOf{"GET", record(200, fleet.StatusDisabled, "", "")}, want: outcome{state: fleet.TargetSkipped, reason: fleet.ReasonAlreadyInState, attempts: 1, requests: 1, before: fleet.StatusDisabled, after: fleet.StatusDisabled}},
		"enabled at another stage":     {steps: stepsOf{"GET", record(200, isEnabled, "development", "")}, want: outcome{state: fleet.TargetSkipped, reason: fleet.ReasonAlreadyInState, attempts: 1, requests: 1, before: isEnabled, after: isEnabled}},
		"ENABLING":                     {steps: stepsOf{"GET", record(200, isEnabling, "live", ""), "DELETE", gone}, want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 2, before: isEnabling, after: isAbsent}},
		"a status nobody documents":    {steps: stepsOf{"GET", record(200, "REVIEWING", "live", ""), "DELETE", gone}, want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 2, before: "REVIEWING", after: isAbsent}},
		"404, and it is gone":          {target: fresh, steps: stepsOf{"DELETE", problem(404), "GET", absent}, want: outcome{state: fleet.TargetSkipped, reason: fleet.ReasonAlreadyInState, attempts: 1, requests: 2, before: isEnabled, after: isAbsent}},
		"404, and it is there":         {target: fresh, steps: stepsOf{"DELETE", problem(404), "GET", enabled}, want: failedWith(fleet.ReasonUnitNotFound, 1, 0, 2, isEnabled, isEnabled)},
		"404 after a write was lost":   {target: verifying, steps: stepsOf{"GET", enabled, "DELETE", problem(404), "GET", absent}, want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 3, after: isAbsent}},
		"403":                          {target: fresh, steps: stepsOf{"DELETE", problem(403)}, want: failedWith(fleet.ReasonForbidden, 1, 0, 1, isEnabled, isEnabled)},
		"any age, on its way":          {target: observed(fleet.StatusDisabling, 999*time.Hour), spec: anyAge, steps: stepsOf{"GET", disabling}, want: outcome{state: fleet.TargetVerifying, attempts: 1, requests: 1, before: fleet.StatusDisabling, after: fleet.StatusDisabling, next: second}},
		"any age, never seen":          {target: func(*store.ClaimedTarget) {}, steps: stepsOf{"GET", enabled, "DELETE", gone}, want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 2, before: isEnabled, after: isAbsent}},
	}
	for name, c := range situations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := c.spec
			c.spec = func(s *store.RolloutSpec) {
				disable(s)
				if spec != nil {
					spec(s)
				}
			}
			c.try(t)
		})
	}
}
