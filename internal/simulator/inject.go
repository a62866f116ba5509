package simulator

// Fault is one way in which a request was treated badly. The set is closed.
type Fault string

// faultSet is a set of faults, a bit each.
type faultSet uint32

const (
	faultOverload faultSet = 1 << iota
	faultErrorBefore
	faultCutBefore
	faultErrorAfter
	faultCutAfter
	faultTruncatedBody
	faultEmptyBody
	faultHTMLError
	faultEmptyError
	faultShortPage
	faultEmptyPage
	faultNullToken
	faultDuplicateItem
	faultRespelledUnit
	faultSlowEnabling
	faultSlowDisabling
	faultNotFoundHome
	faultForbiddenHome
	faultStuckEnabling
	faultFailedEnabling
	faultUnknownStatus
	faultTokenError
	faultCodeError
	faultThrottle
	faultExpiredPageToken
	faultRepeatedToken
	faultEarlyTokenExpiry
	faultLostRegion
)

// faultNames are in the order of the bits.
var faultNames = []Fault{
	"overload", "error_before", "cut_before", "error_after", "cut_after", "truncated_body", "empty_body",
	"html_error", "empty_error", "short_page", "empty_page", "null_token", "duplicate_item", "respelled_unit",
	"slow_enabling", "slow_disabling", "not_found_home", "forbidden_home", "stuck_enabling", "failed_enabling",
	"unknown_status", "token_error", "code_error", "throttle", "expired_page_token", "repeated_token", "early_token_expiry",
	"lost_region",
}

func (f faultSet) has(g faultSet) bool { return f&g != 0 }

func (f faultSet) list() []Fault {
	var list []Fault
	for i, name := range faultNames {
		if f.has(1 << i) {
			list = append(list, name)
		}
	}
	return list
}

// strike draws what happens to one API request as a whole: nothing mostly.
func (f *Faults) strike(d *dice, write bool) faultSet {
	roll := d.fraction()
	for _, c := range []struct {
		rate  float64
		fault faultSet
	}{
		{f.Overload, faultOverload},
		{f.ErrorBefore, faultErrorBefore},
		{f.CutBefore, faultCutBefore},
		{f.TruncatedBody, faultTruncatedBody},
		{f.EmptyBody, faultEmptyBody},
		{f.ErrorAfter, faultErrorAfter},
		{f.CutAfter, faultCutAfter},
	} {
		if !write && c.fault.has(faultErrorAfter|faultCutAfter) {
			continue
		}
		if roll < c.rate {
			return c.fault
		}
		roll -= c.rate
	}
	return 0
}

const (
	errorPage = "<!DOCTYPE html>\n<html><head><title>Website Temporarily Unavailable</title></head>\n" +
		"<body><h1>Oops!</h1><p>It's rush hour and traffic is piling up on that page. Please try again in a short while.</p></body></html>\n"
	typeJSON = "application/json"
	typeHTML = "text/html; charset=utf-8"
)

// fail makes an answer of a 5xx, in one of the shapes such answers have.
func (s *Simulator) fail(c *call, status int) {
	roll := c.dice.fraction()
	switch f := s.faults; {
	case c.endpoint.api != APIResidential: // The official clients of these lose the status of what is not JSON.
		c.problem(status, "InternalServerError", "The request couldn't be handled because of an internal service error.")
	case roll < f.HTMLError:
		c.line.faults |= faultHTMLError
		c.answer = answer{status: status, body: []byte(errorPage), contentType: typeHTML}
	case roll < f.HTMLError+f.EmptyError:
		c.line.faults |= faultEmptyError
		c.answer = answer{status: status}
	default:
		c.problem(status, "InternalServerError", "The request couldn't be handled because of an internal service error.")
	}
}

// before does the faults that come before the request does anything, and reports whether there was one.
func (s *Simulator) before(c *call) bool {
	switch fault := c.line.faults; {
	case fault.has(faultOverload):
		c.problem(503, "ServiceUnavailable", "Service is temporarily unavailable.")
		if c.dice.hit(s.faults.OverloadRetryAfter) {
			c.answer.retryAfter = "1"
		}
	case fault.has(faultErrorBefore):
		s.fail(c, []int{500, 500, 502, 504}[c.dice.below(4)])
	case fault.has(faultCutBefore):
		c.answer = answer{cut: cutBefore}
	default:
		return false
	}
	return true
}

// after does the faults that replace or spoil the answer.
func (s *Simulator) after(c *call) {
	a, fault := &c.answer, c.line.faults
	switch ok := a.status < 300 && a.cut == cutNot; {
	case fault.has(faultErrorAfter) && ok:
		s.fail(c, []int{500, 502, 503, 504}[c.dice.below(4)])
	case fault.has(faultCutAfter) && ok:
		c.answer = answer{cut: cutBefore}
	case fault.has(faultTruncatedBody) && ok && len(a.body) > 1:
		if c.dice.hit(0.5) {
			a.cut = cutMiddle
		} else {
			a.body = a.body[:len(a.body)/2]
		}
		c.spoiled = true
	case fault.has(faultEmptyBody) && ok && len(a.body) > 0:
		a.body = nil
		c.spoiled = true
	default: // It came to nothing: there was no such answer to spoil.
		c.line.faults &^= faultErrorAfter | faultCutAfter | faultTruncatedBody | faultEmptyBody
	}
}
