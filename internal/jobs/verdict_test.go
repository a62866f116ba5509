package jobs

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/ratelimit"
	"fleetd/internal/remote"
	"fleetd/internal/residential"
)

// judged is what judge is to say.
type judged struct {
	verdict verdict
	reason  fleet.Reason
}

var (
	hold        = judged{verdictHold, ""}
	fine        = judged{verdict: -1} // no error at all
	invalid     = judged{verdictFail, fleet.ReasonInvalidRequest}
	doubtServer = judged{verdictDoubt, fleet.ReasonServerError}
	doubtSend   = judged{verdictDoubt, fleet.ReasonTransportError}
	retryServer = judged{verdictRetry, fleet.ReasonServerError}
	retrySend   = judged{verdictRetry, fleet.ReasonTransportError}
	confirm     = judged{verdictConfirm, fleet.ReasonInvalidRequest}
	missing     = judged{verdictLookup, fleet.ReasonUnitNotFound}
)

// failure is one thing that a request can meet.
type failure struct {
	answer  answer // the same to every request
	refuse  func(context.Context, int) error
	tokens  tokens
	gate    error
	timeout time.Duration
	gone    bool // nobody listens
	cancel  bool // the caller gives up while the answer is awaited
	unit    string
}

// The one table: everything that can happen to a request, and what follows where
// it was a read of a record, a list, an enable or a disable.
func TestJudge(t *testing.T) {
	t.Parallel()
	closed := &remote.BudgetError{Until: time.Now().Add(time.Hour)}
	refused, busy := &lwa.UnauthorizedError{Account: "acme", Reason: lwa.ReasonInvalidGrant}, &lwa.TokenError{Account: "acme", Status: 503}
	for name, c := range map[string]struct {
		failure

		get, list, enable, disable judged
	}{
		"200 without JSON":          {failure{answer: answer{status: 200, body: "{"}}, retryServer, retryServer, doubtServer, doubtServer},
		"200 without status":        {failure{answer: answer{status: 200, body: "{}"}}, retryServer, retryServer, doubtServer, doubtServer},
		"200 with a page":           {failure{answer: web(200)}, retryServer, retryServer, doubtServer, doubtServer},
		"201 without JSON":          {failure{answer: answer{status: 201, body: `{"status":"ENAB`}}, retryServer, retryServer, doubtServer, doubtServer},
		"201 empty":                 {failure{answer: answer{status: 201}}, retryServer, retryServer, doubtServer, fine},
		"204":                       {failure{answer: answer{status: 204}}, retryServer, retryServer, doubtServer, fine},
		"301":                       {failure{answer: problem(301)}, invalid, invalid, invalid, invalid},
		"302":                       {failure{answer: problem(302)}, invalid, invalid, invalid, invalid},
		"307":                       {failure{answer: problem(307)}, invalid, invalid, invalid, invalid},
		"400":                       {failure{answer: problem(400)}, invalid, invalid, confirm, confirm},
		"401":                       {failure{answer: problem(401)}, judged{verdictFail, fleet.ReasonUnauthorized}, judged{verdictFail, fleet.ReasonUnauthorized}, judged{verdictFail, fleet.ReasonUnauthorized}, judged{verdictFail, fleet.ReasonUnauthorized}},
		"401 and LWA refuses":       {failure{answer: problem(401), tokens: tokens{refreshErr: refused}}, hold, hold, hold, hold},
		"401 and LWA is away":       {failure{answer: problem(401), tokens: tokens{refreshErr: busy}}, hold, hold, hold, hold},
		"403":                       {failure{answer: problem(403)}, judged{verdictFail, fleet.ReasonForbidden}, judged{verdictFail, fleet.ReasonForbidden}, judged{verdictFail, fleet.ReasonForbidden}, judged{verdictFail, fleet.ReasonForbidden}},
		"404":                       {failure{answer: problem(404)}, fine, missing, missing, missing},
		"404 with a page":           {failure{answer: web(404)}, retryServer, retryServer, retryServer, retryServer},
		"408":                       {failure{answer: problem(408)}, retryServer, retryServer, doubtServer, doubtServer},
		"409":                       {failure{answer: problem(409)}, invalid, invalid, confirm, confirm},
		"412":                       {failure{answer: problem(412)}, invalid, invalid, invalid, invalid},
		"413":                       {failure{answer: problem(413)}, invalid, invalid, invalid, invalid},
		"425":                       {failure{answer: problem(425)}, retryServer, retryServer, retryServer, retryServer},
		"429 and the budget closes": {failure{answer: problem(429), refuse: after(1, closed)}, hold, hold, hold, hold},
		"429 and time is up":        {failure{answer: problem(429), refuse: after(1, context.DeadlineExceeded)}, hold, hold, hold, hold},
		"429 and the process stops": {failure{answer: problem(429), refuse: after(1, context.Canceled)}, hold, hold, hold, hold},
		"500":                       {failure{answer: problem(500)}, retryServer, retryServer, doubtServer, doubtServer},
		"500 with a page":           {failure{answer: web(500)}, retryServer, retryServer, doubtServer, doubtServer},
		"501":                       {failure{answer: problem(501)}, judged{verdictFail, fleet.ReasonServerError}, judged{verdictFail, fleet.ReasonServerError}, doubtServer, doubtServer},
		"502":                       {failure{answer: problem(502)}, retryServer, retryServer, doubtServer, doubtServer},
		"503 and the budget closes": {failure{answer: problem(503), refuse: after(1, closed)}, hold, hold, doubtServer, doubtServer},
		"503 and time is up":        {failure{answer: web(503), refuse: after(1, context.DeadlineExceeded)}, judged{verdictHold, fleet.ReasonServerError}, judged{verdictHold, fleet.ReasonServerError}, doubtServer, doubtServer},
		"504":                       {failure{answer: problem(504)}, retryServer, retryServer, doubtServer, doubtServer},
		"no answer in time":         {failure{answer: answer{hang: true}, timeout: 30 * time.Millisecond}, retrySend, retrySend, doubtSend, doubtSend},
		"a reset after sending":     {failure{answer: answer{cut: true}}, retrySend, retrySend, doubtSend, doubtSend},
		"a reset before sending":    {failure{gone: true}, retrySend, retrySend, retrySend, retrySend},
		"the caller gives up":       {failure{answer: answer{hang: true}, cancel: true}, hold, hold, doubtSend, doubtSend},
		"the gate is shut":          {failure{gate: ErrHeld}, hold, hold, hold, hold},
		"the budget is closed":      {failure{refuse: after(0, closed)}, hold, hold, hold, hold},
		"no slot in time":           {failure{refuse: after(0, context.DeadlineExceeded)}, hold, hold, hold, hold},
		"stopped before a slot":     {failure{refuse: after(0, context.Canceled)}, hold, hold, hold, hold},
		"the budget has ended":      {failure{refuse: after(0, ratelimit.ErrClosed)}, hold, hold, hold, hold},
		"no budget":                 {failure{refuse: after(0, errNetwork)}, retrySend, retrySend, retrySend, retrySend},
		"LWA refuses":               {failure{tokens: tokens{err: refused}}, hold, hold, hold, hold},
		"LWA is away":               {failure{tokens: tokens{err: busy}}, hold, hold, hold, hold},
		"an ID that is none":        {failure{unit: ".."}, invalid, invalid, invalid, invalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for op, want := range map[string]judged{"get": c.get, "list": c.list, "enable": c.enable, "disable": c.disable} {
				err := c.meet(t, op)
				if want == fine {
					require.NoError(t, err, op)
					continue
				}
				require.Error(t, err, op)
				v, reason := judge(err, op == "enable" || op == "disable")
				require.Equal(t, want, judged{v, reason}, "%s: %v", op, err)
				requireClean(t, message(err))
			}
		})
	}
}

// meet makes one request of an operation that meets the failure.
func (f failure) meet(t *testing.T, op string) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	kind := map[string]string{"get": "GET", "list": "LIST", "enable": "POST", "disable": "DELETE"}[op]
	a := f.answer
	if f.cancel {
		a.then = cancel
	}
	s := newScript(t, kind, a, kind, a)
	api := s.client(&slots{refuse: f.refuse}, f.tokens, f.timeout)
	if f.gone {
		s.url = "http://127.0.0.1:1" // nobody listens on tcpmux
		api = s.client(&slots{}, f.tokens, 0)
	}
	if f.gate != nil {
		ctx = remote.WithGate(ctx, func(context.Context) error { return f.gate })
	}
	unit := f.unit
	if unit == "" {
		unit = "u1"
	}
	var err error
	switch op {
	case "get":
		_, err = api.Get(ctx, unit, "s", "")
	case "list":
		_, err = api.Page(ctx, unit, "", residential.ListOpts{})
	case "enable":
		_, err = api.Enable(ctx, residential.EnableParams{UnitID: unit, SkillID: "s", Stage: fleet.StageLive})
	case "disable":
		_, err = api.Disable(ctx, unit, "s", fleet.StageLive)
	}
	return err
}

// A refusal by the code server is no answer of the API: see attempt_link_test.go.
func TestJudgeKnowsNothingElseThanTheTable(t *testing.T) {
	t.Parallel()
	for status := http.StatusMultipleChoices; status < 600; status++ {
		for _, write := range []bool{false, true} {
			v, reason := judge(&remote.Error{Status: status, InDoubt: write && status >= 500}, write)
			if v == verdictHold {
				require.True(t, status == 429 || status == 503, "status %d is held", status)
				continue
			}
			require.Contains(t, fleet.FailReasons(), reason, "status %d", status)
			if write && status >= 500 {
				require.Equal(t, verdictDoubt, v, "status %d", status)
			}
		}
	}
}

// Every status, at the wanted stage, at another and at none, linked or not: what
// it means for each action and link mode.
func TestLook(t *testing.T) {
	t.Parallel()
	const live, dev = fleet.StageLive, fleet.StageDevelopment
	for _, c := range []struct {
		status          fleet.Status
		stage           fleet.Stage
		link            fleet.LinkStatus
		none, linking   sight // of enable
		disable         sight
		disableExplains string
	}{
		{fleet.StatusAbsent, "", "", sightOther, sightOther, sightWanted, ""},
		{fleet.StatusNoAssociation, "", "", sightOther, sightOther, sightWanted, ""},
		{fleet.StatusDisabled, live, "", sightOther, sightOther, sightWanted, ""},
		{fleet.StatusDisabled, live, fleet.NotLinked, sightOther, sightOther, sightWanted, ""},
		{fleet.StatusDisabling, live, "", sightPending, sightPending, sightPending, ""},
		{fleet.StatusDisablingFailed, live, "", sightOther, sightOther, sightOther, ""},
		{fleet.StatusEnabling, live, "", sightPending, sightPending, sightOther, ""},
		{fleet.StatusEnabling, live, fleet.NotLinked, sightPending, sightPending, sightOther, ""},
		{fleet.StatusEnabling, dev, "", sightPending, sightPending, sightOther, ""},
		{fleet.StatusEnablingFailed, live, "", sightBroken, sightBroken, sightOther, ""},
		{fleet.StatusEnabled, live, "", sightWanted, sightWanted, sightOther, ""},
		{fleet.StatusEnabled, live, fleet.Linked, sightWanted, sightWanted, sightOther, ""},
		{fleet.StatusEnabled, live, fleet.NotLinked, sightWanted, sightNoLink, sightOther, ""},
		{fleet.StatusEnabled, live, "UNLINKING", sightWanted, sightNoLink, sightOther, ""},
		{fleet.StatusEnabled, dev, "", sightOther, sightOther, sightWanted, "only another stage is enabled"},
		{fleet.StatusEnabled, dev, fleet.Linked, sightOther, sightOther, sightWanted, "likewise"},
		{fleet.StatusEnabled, "", "", sightWanted, sightWanted, sightOther, "the answer tells no stage: it is the one asked about"},
		{"REVIEWING", live, "", sightPending, sightPending, sightOther, "whatever it is, it is not gone"},
		{"REVIEWING", "", "", sightPending, sightPending, sightOther, "likewise"},
		{"enabled", live, "", sightPending, sightPending, sightOther, "statuses are spelled in capitals"},
	} {
		o := fleet.Observation{Status: c.status, Stage: c.stage, AccountLink: c.link}
		require.Equal(t, c.none, look(fleet.ActionEnable, live, fleet.LinkNone, o), "enable %+v", o)
		require.Equal(t, c.linking, look(fleet.ActionEnable, live, fleet.LinkDelegated, o), "enable, delegated %+v", o)
		require.Equal(t, c.linking, look(fleet.ActionEnable, live, fleet.LinkCodes, o), "enable, codes %+v", o)
		for _, mode := range fleet.LinkModes() {
			require.Equal(t, c.disable, look(fleet.ActionDisable, live, mode, o), "disable %+v: %s", o, c.disableExplains)
		}
	}
}
