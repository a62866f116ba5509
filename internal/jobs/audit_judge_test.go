package jobs

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/ratelimit"
	"fleetd/internal/remote"
	"fleetd/internal/residential"
)

type failedList struct {
	err     error
	reason  fleet.UnknownReason
	passes  bool
	holds   bool // it spends no attempt
	atLeast time.Duration
}

func failedLists() map[string]failedList {
	status := func(n int) error { return fmt.Errorf("list: %w", &remote.Error{Status: n}) }
	return map[string]failedList{
		"400 to the first page":  {err: status(400), reason: fleet.UnknownInvalidRequest},
		"401 to a fresh token":   {err: status(401), reason: fleet.UnknownUnauthorized, passes: true},
		"403":                    {err: status(403), reason: fleet.UnknownForbidden},
		"404":                    {err: status(404), reason: fleet.UnknownUnitNotFound},
		"404 of a proxy":         {err: &remote.Error{Status: 404, HTML: true}, reason: fleet.UnknownServerError, passes: true},
		"405":                    {err: status(405), reason: fleet.UnknownInvalidRequest},
		"408":                    {err: status(408), reason: fleet.UnknownServerError, passes: true},
		"429":                    {err: status(429), holds: true, atLeast: time.Second},
		"500":                    {err: status(500), reason: fleet.UnknownServerError, passes: true},
		"501":                    {err: status(501), reason: fleet.UnknownServerError},
		"502":                    {err: status(502), reason: fleet.UnknownServerError, passes: true},
		"503":                    {err: status(503), holds: true, atLeast: time.Second},
		"504":                    {err: status(504), reason: fleet.UnknownServerError, passes: true},
		"no answer":              {err: &remote.Error{Err: errors.New("connection reset")}, reason: fleet.UnknownTransportError, passes: true},
		"no answer in time":      {err: &remote.Error{Err: remote.ErrTimeout}, reason: fleet.UnknownTransportError, passes: true},
		"an answer cut short":    {err: &remote.Error{Status: 200, Err: remote.ErrUnreadable}, reason: fleet.UnknownInvalidAnswer, passes: true},
		"pages in a circle":      {err: &residential.PageError{Repeated: true}, reason: fleet.UnknownInvalidAnswer, passes: true},
		"a token that is gone":   {err: &residential.PageError{Expired: true, Err: status(400)}, reason: fleet.UnknownInvalidAnswer, passes: true},
		"an ID that is none":     {err: fleet.Invalidf("unit_id", "empty"), reason: fleet.UnknownInvalidRequest},
		"a write":                {err: &remote.Error{Err: remote.ErrReadOnly}, reason: fleet.UnknownTransportError},
		"a budget that is shut":  {err: &remote.Error{Err: &remote.BudgetError{Until: time.Now().Add(time.Minute)}}, holds: true, atLeast: time.Minute},
		"a budget that was shut": {err: &remote.BudgetError{Until: time.Now().Add(-time.Minute)}, holds: true},
		"credentials revoked":    {err: &lwa.UnauthorizedError{Account: "acme"}, holds: true, atLeast: unauthorizedWait},
		"no slot in time":        {err: &remote.Error{Err: context.DeadlineExceeded}, holds: true, atLeast: time.Second},
		"the process stops":      {err: &remote.Error{Err: context.Canceled}, holds: true},
		"the budget is closed":   {err: ratelimit.ErrClosed, holds: true, atLeast: time.Second},
	}
}

// A failed look comes back after 1, 2, 4 and then 8 seconds, more or less.
func TestAuditRetries(t *testing.T) {
	t.Parallel()
	for attempt, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 8 * time.Second, 9: 8 * time.Second} {
		for range 50 {
			at := (&Audits{}).NextRetry(&river.Job[AuditArgs]{JobRow: &rivertype.JobRow{Attempt: attempt}})
			require.InDelta(t, want, time.Until(at), float64(want)/4+float64(100*time.Millisecond))
		}
	}
}
