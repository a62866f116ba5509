package jobs

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/remote"
	"fleetd/internal/store"
)

const (
	isAbsent   = fleet.StatusAbsent
	isEnabled  = fleet.StatusEnabled
	isEnabling = fleet.StatusEnabling
	isFailed   = fleet.StatusEnablingFailed
)

func TestAttemptReadsWhereItMustAndWritesOnce(t *testing.T) {
	t.Parallel()
	done := outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 2, before: isAbsent, after: isEnabled}
	oneRequest := outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, before: isAbsent, after: isEnabled}
	inState := outcome{state: fleet.TargetSkipped, reason: fleet.ReasonAlreadyInState, attempts: 1, before: isEnabled, after: isEnabled}
	inStateAfterARead := inState
	inStateAfterARead.requests = 1
	unread := oneRequest
	unread.before = ""
	runSituations(t, map[string]*situation{
		"never seen: read, then written":   {steps: stepsOf{"GET", absent, "POST", created}, want: done},
		"seen lately: written at once":     {target: observed(isAbsent, time.Minute), steps: stepsOf{"POST", created}, want: oneRequest},
		"seen too long ago: read, written": {target: observed(isAbsent, 2*time.Hour), steps: stepsOf{"GET", absent, "POST", created}, want: done},
		"any age: written at once":         {target: observed(isAbsent, 999*time.Hour), spec: anyAge, steps: stepsOf{"POST", created}, want: oneRequest},
		"any age, on its way to what is wanted: verified": {
			target: observed(isEnabling, 999*time.Hour), spec: anyAge, steps: stepsOf{"GET", enabled}, want: inStateAfterARead,
		},
		"any age, it did not get there: written": {
			target: observed(isEnabling, 999*time.Hour), spec: anyAge, steps: stepsOf{"GET", absent, "POST", created}, want: done,
		},
		"any age, on its way elsewhere: written at once": {
			target: observed(fleet.StatusDisabling, 999*time.Hour), spec: anyAge, steps: stepsOf{"POST", created},
			want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, before: fleet.StatusDisabling, after: isEnabled},
		},
		"any age, a write was in doubt: read first": {
			target: observed("", 0), spec: anyAge, steps: stepsOf{"GET", absent, "POST", created}, want: done,
		},
		"a write was in doubt: read first":     {target: observed("", 0), steps: stepsOf{"GET", absent, "POST", created}, want: done},
		"any age, never seen: written at once": {spec: anyAge, steps: stepsOf{"POST", created}, want: unread},
		"any age, never seen, asked before": { // it failed in doubt once: what was seen of it was forgotten
			target: func(t *store.ClaimedTarget) { t.Requests = 2 }, spec: anyAge, steps: stepsOf{"GET", absent, "POST", created}, want: done,
		},
		"in state, seen lately": {target: observed(isEnabled, time.Minute), want: inState},
		"in state, as a read shows": {
			target: observed(isAbsent, 2*time.Hour), steps: stepsOf{"GET", enabled}, want: inStateAfterARead,
		},
		"seen in state too long ago": {
			target: observed(isEnabled, 2*time.Hour), steps: stepsOf{"GET", absent, "POST", created}, want: done,
		},
		"at another stage": {
			steps: stepsOf{"GET", record(200, isEnabled, fleet.StageDevelopment, ""), "POST", created},
			want:  outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 2, before: isEnabled, after: isEnabled},
		},
		"failed to enable before": {
			target: observed(isFailed, time.Minute), steps: stepsOf{"POST", created},
			want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, before: isFailed, after: isEnabled},
		},
		"seen on its way: read again": {
			target: observed(isEnabling, time.Minute), steps: stepsOf{"GET", enabled}, want: inStateAfterARead,
		},
		"429 spends a request and no attempt": {
			target: observed(isAbsent, time.Minute), steps: stepsOf{"POST", problem(429), "POST", created},
			want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 2, before: isAbsent, after: isEnabled},
		},
		"401 spends a request and no attempt": {
			target: observed(isAbsent, time.Minute), steps: stepsOf{"POST", problem(401), "POST", created},
			want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 2, before: isAbsent, after: isEnabled},
		},
		"503 to a read is waited out": {steps: stepsOf{"GET", web(503), "GET", absent, "POST", created}, want: outcome{
			state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 3, before: isAbsent, after: isEnabled,
		}},
		"occupied": {target: occupied, want: outcome{state: fleet.TargetSkipped, reason: fleet.ReasonOccupied, attempts: 1}},
		"linked": {
			target: func(t *store.ClaimedTarget) { t.Occupancy = fleet.OccupancyLinked },
			want:   outcome{state: fleet.TargetSkipped, reason: fleet.ReasonOccupied, attempts: 1},
		},
		"occupied, and asked for": {
			target: both(occupied, observed(isAbsent, 0)), spec: func(s *store.RolloutSpec) { s.IncludeOccupied = true },
			steps: stepsOf{"POST", created}, want: oneRequest,
		},
		"occupied since a write that was lost": { // seen not done: nothing was written, and nothing will be
			target: both(occupied, prior(fleet.TargetVerifying, 1, 1)), steps: stepsOf{"GET", absent},
			want: outcome{state: fleet.TargetSkipped, reason: fleet.ReasonOccupied, attempts: 1, writes: 1, requests: 1, after: isAbsent},
		},
		"occupied since a write that was done": {
			target: both(occupied, prior(fleet.TargetVerifying, 1, 1)), steps: stepsOf{"GET", enabled},
			want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, after: isEnabled},
		},
	})
}

// What a write's answer, or a later read, says of an enablement that is under way.
func TestAttemptVerifies(t *testing.T) {
	t.Parallel()
	fresh := observed(isAbsent, time.Minute)
	waiting := func(before, after fleet.Status, next span) outcome {
		return outcome{state: fleet.TargetVerifying, attempts: 1, writes: 1, requests: 1, before: before, after: after, next: next}
	}
	verifying := prior(fleet.TargetVerifying, 1, 1)
	late := both(verifying, overdue)
	runSituations(t, map[string]*situation{
		"ENABLING":                  {target: fresh, steps: stepsOf{"POST", enabling}, want: waiting(isAbsent, isEnabling, second)},
		"a status nobody documents": {target: fresh, steps: stepsOf{"POST", record(201, "REVIEWING", "live", "")}, want: waiting(isAbsent, "REVIEWING", second)},
		"enabled at another stage":  {target: fresh, steps: stepsOf{"POST", record(201, isEnabled, "development", "")}, want: waiting(isAbsent, isEnabled, second)},
		"ENABLING_FAILED at once":   {target: fresh, steps: stepsOf{"POST", record(201, isFailed, "live", "")}, want: failedWith(fleet.ReasonEnablingFailed, 1, 1, 1, isAbsent, isFailed)},
		"later ENABLED":             {target: verifying, steps: stepsOf{"GET", enabled}, want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, after: isEnabled}},
		"later still ENABLING":      {target: verifying, steps: stepsOf{"GET", enabling}, want: waiting("", isEnabling, span{30 * time.Second, 30 * time.Second})},
		"later ENABLING_FAILED":     {target: verifying, steps: stepsOf{"GET", record(200, isFailed, "live", "")}, want: failedWith(fleet.ReasonEnablingFailed, 1, 1, 1, "", isFailed)},
		"ENABLING at the deadline":  {target: late, steps: stepsOf{"GET", enabling}, want: says("ENABLING", failedWith(fleet.ReasonVerifyTimeout, 1, 1, 1, "", isEnabling))},
		"REVIEWING at the deadline": {target: late, steps: stepsOf{"GET", record(200, "REVIEWING", "live", "")}, want: says("REVIEWING", failedWith(fleet.ReasonVerifyTimeout, 1, 1, 1, "", "REVIEWING"))},
		"ENABLED at the deadline":   {target: late, steps: stepsOf{"GET", enabled}, want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, after: isEnabled}},
		"ENABLING by somebody else": { // nothing of ours is under way: nothing was written
			steps: stepsOf{"GET", enabling},
			want:  outcome{state: fleet.TargetVerifying, attempts: 1, requests: 1, before: isEnabling, after: isEnabling, next: second},
		},
		"somebody else's ENABLING is done": {
			target: prior(fleet.TargetVerifying, 1, 0), steps: stepsOf{"GET", enabled},
			want: outcome{state: fleet.TargetSkipped, reason: fleet.ReasonAlreadyInState, attempts: 1, requests: 1, before: isEnabled, after: isEnabled},
		},
		"somebody else's ENABLING failed": {
			target: prior(fleet.TargetVerifying, 1, 0), steps: stepsOf{"GET", record(200, isFailed, "live", ""), "POST", created},
			want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 2, before: isFailed, after: isEnabled},
		},
		"somebody else's ENABLING, and the read is lost": {
			target: prior(fleet.TargetVerifying, 1, 0), steps: stepsOf{"GET", problem(500)},
			want: outcome{state: fleet.TargetVerifying, attempts: 2, requests: 1, next: span{time.Second, 2 * time.Second}},
		},
		"somebody else's ENABLING, and the read is lost to the end": {
			target: both(prior(fleet.TargetVerifying, 1, 0), overdue), steps: stepsOf{"GET", problem(500)},
			want: failedWith(fleet.ReasonVerifyTimeout, 2, 0, 1, "", ""),
		},
		"seen not done: written again": {
			target: verifying, steps: stepsOf{"GET", absent, "POST", created},
			want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 2, requests: 2, after: isEnabled},
		},
		"seen not done after five writes": {
			target: prior(fleet.TargetVerifying, 5, maxWrites), steps: stepsOf{"GET", absent},
			want: says("several times", failedWith(fleet.ReasonEnablingFailed, 5, 5, 1, "", isAbsent)),
		},
	})
}

// Answers that were lost, and errors that leave open whether the write was done.
func TestAttemptNeverGuesses(t *testing.T) {
	t.Parallel()
	fresh := observed(isAbsent, time.Minute)
	lost := outcome{state: fleet.TargetVerifying, attempts: 1, writes: 1, requests: 1, before: isAbsent, after: isAbsent, next: second}
	unseen := outcome{state: fleet.TargetVerifying, attempts: 2, writes: 1, requests: 1, next: span{time.Second, 2 * time.Second}}
	verifying := prior(fleet.TargetVerifying, 1, 1)
	crashed := prior(fleet.TargetRunning, 0, 0)
	runSituations(t, map[string]*situation{
		"500":                     {target: fresh, steps: stepsOf{"POST", problem(500)}, want: lost},
		"502 with a page":         {target: fresh, steps: stepsOf{"POST", web(502)}, want: lost},
		"503":                     {target: fresh, steps: stepsOf{"POST", problem(503)}, want: lost},
		"504":                     {target: fresh, steps: stepsOf{"POST", problem(504)}, want: lost},
		"a cut connection":        {target: fresh, steps: stepsOf{"POST", answer{cut: true}}, want: lost},
		"half an answer":          {target: fresh, steps: stepsOf{"POST", answer{status: 201, body: `{"status":"ENA`}}, want: lost},
		"stopped while it waited": {target: fresh, cancel: true, steps: stepsOf{"POST", answer{}}, want: lost},
		"then a read shows it done": {
			target: verifying, steps: stepsOf{"GET", enabled},
			want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, after: isEnabled},
		},
		"then the read is lost too":          {target: verifying, steps: stepsOf{"GET", problem(500)}, want: unseen},
		"then a proxy answers":               {target: verifying, steps: stepsOf{"GET", web(404)}, want: unseen},
		"then the read is refused":           {target: verifying, steps: stepsOf{"GET", problem(400)}, want: unseen},
		"then the read is lost to the end":   {target: both(verifying, overdue), steps: stepsOf{"GET", problem(500)}, want: doubtful(says("before the deadline", failedWith(fleet.ReasonVerifyTimeout, 2, 1, 1, "", "")))},
		"then the connection is, to the end": {target: both(verifying, overdue), steps: stepsOf{"GET", answer{cut: true}}, want: doubtful(says("before the deadline", failedWith(fleet.ReasonVerifyTimeout, 2, 1, 1, "", "")))},
		"then the last read is refused":      {target: both(verifying, overdue), steps: stepsOf{"GET", problem(400)}, want: doubtful(failedWith(fleet.ReasonVerifyTimeout, 2, 1, 1, "", ""))},
		"then the last read is forbidden":    {target: both(verifying, overdue), steps: stepsOf{"GET", problem(403)}, want: doubtful(failedWith(fleet.ReasonForbidden, 1, 1, 1, "", ""))},
		"then the last token is no good":     {target: both(verifying, overdue), steps: stepsOf{"GET", problem(401), "GET", problem(401)}, want: doubtful(failedWith(fleet.ReasonUnauthorized, 1, 1, 2, "", ""))},
		"then the last read is throttled": {target: both(verifying, overdue), slots: slots{refuse: after(1, context.DeadlineExceeded)}, steps: stepsOf{"GET", problem(429)}, want: outcome{
			state: fleet.TargetVerifying, attempts: 1, writes: 1, requests: 1, next: backoff,
		}},
		"then it is lost before the deadline": { // the last look is at the deadline itself
			target: both(prior(fleet.TargetVerifying, 20, 1), soonDue), steps: stepsOf{"GET", problem(500)},
			want: outcome{state: fleet.TargetVerifying, attempts: 21, writes: 1, requests: 1, next: span{0, 10 * time.Second}},
		},
		"then the home is forbidden":          {target: verifying, steps: stepsOf{"GET", problem(403)}, want: doubtful(failedWith(fleet.ReasonForbidden, 1, 1, 1, "", ""))},
		"then the budget is closed":           {target: verifying, slots: slots{refuse: after(0, &remote.BudgetError{Until: time.Now().Add(time.Hour)})}, want: outcome{state: fleet.TargetVerifying, attempts: 1, writes: 1, next: span{30 * time.Minute, time.Hour}}},
		"then the process stops":              {target: verifying, slots: slots{refuse: after(0, context.Canceled)}, want: outcome{state: fleet.TargetVerifying, attempts: 1, writes: 1, next: span{0, 1}}},
		"a crash: read, done":                 {target: crashed, steps: stepsOf{"GET", enabled}, want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, after: isEnabled}},
		"a crash: read, not done, written":    {target: both(crashed, observed(isAbsent, 0)), steps: stepsOf{"GET", absent, "POST", created}, want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 2, requests: 2, after: isEnabled}},
		"a crash: on its way":                 {target: crashed, steps: stepsOf{"GET", enabling}, want: outcome{state: fleet.TargetVerifying, attempts: 1, writes: 1, requests: 1, after: isEnabling, next: second}},
		"a crash: failed":                     {target: crashed, steps: stepsOf{"GET", record(200, isFailed, "live", "")}, want: failedWith(fleet.ReasonEnablingFailed, 1, 1, 1, "", isFailed)},
		"a crash, any age: read all the same": {target: both(crashed, observed(isAbsent, 0)), spec: anyAge, steps: stepsOf{"GET", enabled}, want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, after: isEnabled}},
	})
}

// Refusals, each with what it costs and where it leads.
func TestAttemptFailsForAReason(t *testing.T) {
	t.Parallel()
	fresh := observed(isAbsent, time.Minute)
	empty := answer{status: 200, body: `{"items":[]}`}
	later := func(attempts, requests int, next span) outcome {
		return outcome{state: fleet.TargetQueued, attempts: attempts, requests: requests, next: next}
	}
	tried := func(attempts int) func(*store.ClaimedTarget) { return prior(fleet.TargetQueued, attempts, 0) }
	runSituations(t, map[string]*situation{
		"403":                   {target: fresh, steps: stepsOf{"POST", problem(403)}, want: says("403", failedWith(fleet.ReasonForbidden, 1, 0, 1, isAbsent, isAbsent))},
		"403 to the read":       {steps: stepsOf{"GET", problem(403)}, want: failedWith(fleet.ReasonForbidden, 1, 0, 1, "", "")},
		"401 for good":          {target: fresh, steps: stepsOf{"POST", problem(401), "POST", problem(401)}, want: failedWith(fleet.ReasonUnauthorized, 1, 0, 2, isAbsent, isAbsent)},
		"400, and not in state": {target: fresh, steps: stepsOf{"POST", problem(400), "GET", absent}, want: says("400", failedWith(fleet.ReasonInvalidRequest, 1, 0, 2, isAbsent, isAbsent))},
		"409, and in state":     {target: fresh, steps: stepsOf{"POST", problem(409), "GET", enabled}, want: outcome{state: fleet.TargetSkipped, reason: fleet.ReasonAlreadyInState, attempts: 1, requests: 2, before: isAbsent, after: isEnabled}},
		"409, and on its way":   {target: fresh, steps: stepsOf{"POST", problem(409), "GET", enabling}, want: outcome{state: fleet.TargetVerifying, attempts: 1, requests: 2, before: isAbsent, after: isEnabling, next: second}},
		"409, and no read":      {target: fresh, steps: stepsOf{"POST", problem(409), "GET", problem(403)}, want: says("409", failedWith(fleet.ReasonInvalidRequest, 1, 0, 2, isAbsent, isAbsent))},
		"409, and a read that may pass": {target: fresh, steps: stepsOf{"POST", problem(409), "GET", problem(500)}, want: outcome{
			state: fleet.TargetQueued, attempts: 1, requests: 2, before: isAbsent, after: isAbsent, next: backoff,
		}},
		"409 after a write that was lost": {target: prior(fleet.TargetVerifying, 1, 1), steps: stepsOf{"GET", absent, "POST", problem(409), "GET", enabled}, want: outcome{
			state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 3, after: isEnabled,
		}},
		"404, and the unit is there": {target: fresh, steps: stepsOf{"POST", problem(404), "LIST", empty}, want: says("404", failedWith(fleet.ReasonSkillNotFound, 1, 0, 2, isAbsent, isAbsent))},
		"404, and so is the unit":    {target: fresh, steps: stepsOf{"POST", problem(404), "LIST", problem(404)}, want: failedWith(fleet.ReasonUnitNotFound, 1, 0, 2, isAbsent, isAbsent)},
		"404, and nobody tells": {target: fresh, steps: stepsOf{"POST", problem(404), "LIST", problem(500)}, want: outcome{
			state: fleet.TargetQueued, attempts: 1, requests: 2, before: isAbsent, after: isAbsent, next: backoff,
		}},
		"404 with a page: not the API's word": {target: fresh, steps: stepsOf{"POST", web(404)}, want: outcome{
			state: fleet.TargetQueued, attempts: 1, requests: 1, before: isAbsent, after: isAbsent, next: backoff,
		}},
		"413":                        {target: fresh, steps: stepsOf{"POST", problem(413)}, want: failedWith(fleet.ReasonInvalidRequest, 1, 0, 1, isAbsent, isAbsent)},
		"a redirect":                 {target: fresh, steps: stepsOf{"POST", problem(302)}, want: says("API URL", failedWith(fleet.ReasonInvalidRequest, 1, 0, 1, isAbsent, isAbsent))},
		"a read lost":                {steps: stepsOf{"GET", problem(500)}, want: later(1, 1, backoff)},
		"a read lost again":          {target: tried(2), steps: stepsOf{"GET", answer{cut: true}}, want: later(3, 1, span{2 * time.Second, 4 * time.Second})},
		"a read lost for good":       {target: tried(maxAttempts - 1), steps: stepsOf{"GET", problem(502)}, want: failedWith(fleet.ReasonServerError, maxAttempts, 0, 1, "", "")},
		"a connection lost for good": {target: tried(maxAttempts - 1), steps: stepsOf{"GET", answer{cut: true}}, want: failedWith(fleet.ReasonTransportError, maxAttempts, 0, 1, "", "")},
		"a write not done for good":  {target: both(tried(maxAttempts-1), fresh), steps: stepsOf{"POST", problem(425)}, want: failedWith(fleet.ReasonServerError, maxAttempts, 0, 1, isAbsent, isAbsent)},
		"a write not done":           {target: fresh, steps: stepsOf{"POST", problem(425)}, want: outcome{state: fleet.TargetQueued, attempts: 1, requests: 1, before: isAbsent, after: isAbsent, next: backoff}},
		"an ID that cannot be sent":  {target: func(t *store.ClaimedTarget) { t.UnitID = ".." }, want: failedWith(fleet.ReasonInvalidRequest, 1, 0, 0, "", "")},
	})
}

// What is nobody's fault spends no attempt, and leaves nothing in doubt.
func TestAttemptIsHeld(t *testing.T) {
	t.Parallel()
	fresh := observed(isAbsent, time.Minute)
	until := &remote.BudgetError{Until: time.Now().Add(time.Hour)}
	held := func(requests int, next span) outcome {
		return outcome{state: fleet.TargetQueued, requests: requests, before: isAbsent, after: isAbsent, next: next}
	}
	hour := span{30 * time.Minute, time.Hour} // the case began a while ago on a busy machine
	refused, busy := &lwa.UnauthorizedError{Account: "acme"}, &lwa.TokenError{Account: "acme", Status: 503}
	runSituations(t, map[string]*situation{
		"the rollout is paused":             {target: fresh, gate: []error{ErrHeld}, want: held(0, never)},
		"paused between read and write":     {gate: []error{ErrHeld}, steps: stepsOf{"GET", absent}, want: held(1, never)},
		"paused between two sends":          {target: fresh, gate: []error{nil, ErrHeld}, steps: stepsOf{"POST", problem(429)}, want: held(1, never)},
		"paused before a second write":      {target: prior(fleet.TargetVerifying, 1, 1), gate: []error{ErrHeld}, steps: stepsOf{"GET", absent}, want: outcome{state: fleet.TargetQueued, attempts: 1, writes: 1, requests: 1, after: isAbsent}},
		"the budget is closed":              {target: fresh, slots: slots{refuse: after(0, until)}, want: held(0, hour)},
		"the budget closes after a 429":     {target: fresh, slots: slots{refuse: after(1, until)}, steps: stepsOf{"POST", problem(429)}, want: held(1, hour)},
		"the budget closes after the read":  {slots: slots{refuse: after(1, until)}, steps: stepsOf{"GET", absent}, want: held(1, hour)},
		"closed before a second write":      {target: prior(fleet.TargetVerifying, 1, 1), slots: slots{refuse: after(1, until)}, steps: stepsOf{"GET", absent}, want: outcome{state: fleet.TargetVerifying, attempts: 1, writes: 1, requests: 1, after: isAbsent, next: hour}},
		"no slot in time":                   {target: fresh, slots: slots{refuse: after(0, context.DeadlineExceeded)}, want: held(0, backoff)},
		"the process stops":                 {target: fresh, slots: slots{refuse: after(0, context.Canceled)}, want: held(0, never)},
		"no token, for good":                {target: fresh, tokens: tokens{err: refused}, want: held(0, never)},
		"no token, for now":                 {target: fresh, tokens: tokens{err: busy}, want: held(0, backoff)},
		"no token after a 401":              {target: fresh, tokens: tokens{refreshErr: refused}, steps: stepsOf{"POST", problem(401)}, want: held(1, never)},
		"overload of a read, no slot after": {slots: slots{refuse: after(1, context.DeadlineExceeded)}, steps: stepsOf{"GET", problem(503)}, want: outcome{state: fleet.TargetQueued, requests: 1, next: backoff}},
	})
}

// Reads that prove a write go before the others; nothing is asked as a person would.
func TestAttemptAsksForSlotsByClass(t *testing.T) {
	t.Parallel()
	c := &situation{
		target: prior(fleet.TargetVerifying, 1, 1), steps: stepsOf{"GET", absent, "POST", problem(404), "LIST", problem(404)},
		want: failedWith(fleet.ReasonUnitNotFound, 1, 1, 3, "", isAbsent),
	}
	c.try(t)
	require.Equal(t, []remote.Class{remote.ClassVerify, remote.ClassRollout, remote.ClassVerify}, c.slots.classes)
	c = &situation{steps: stepsOf{"GET", absent, "POST", created}, want: outcome{
		state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 2, before: isAbsent, after: isEnabled,
	}}
	r, _ := c.try(t)
	require.Equal(t, []remote.Class{remote.ClassRollout, remote.ClassRollout}, c.slots.classes)
	require.Equal(t, "req-201", r.RequestID, "of the write, which Amazon would ask for")
}
