package simulator

import (
	"net/http"
	"strings"
	"time"

	"fleetd/internal/fleet"
)

// maxBody is the most that most request bodies may be.
const maxBody = 64 << 10

// call is one API request on its way.
type call struct {
	endpoint   *endpoint
	args       [2]string      // of its path
	region     string         // that its path begins with
	wrong      string         // what is malformed or missing
	violations []BuildMessage // of the manifest API: each of them
	token      string
	misspelled bool // Bearer, to the one API that says so
	line       line // what the history will say
	do         work
	account    *account
	gate       *gate
	dice       dice
	now        time.Duration
	answer     answer
	delay      time.Duration

	// Of the residential API only.
	params  params
	unit    *unit
	record  *record
	spoiled bool // the answer cannot be read
	read    bool // the answer, unless spoiled, tells the state of the unit
	whole   bool // the answer is the last page of a list
}

// serveAPI answers the operations of the remote APIs.
func (s *Simulator) serveAPI(w http.ResponseWriter, r *http.Request) {
	c := &call{}
	if status := operations.find(c, r); status != 0 {
		c.problem(status, "InvalidRequest", "There is no such operation.")
		c.answer.send(w, s.requestID(0))
		return
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if scheme == "Bearer" { // spelled like that, or it is none
		c.token = token
	}
	c.misspelled = scheme != "Bearer" && strings.EqualFold(scheme, "Bearer") && c.endpoint.api == APIEnablement
	c.do = c.endpoint.read(c, r)
	s.decide(c, r.UserAgent())
	if !wait(r, c.delay) {
		s.clientGone(c)
		return
	}
	if c.read && !c.spoiled {
		s.markRead(c)
	}
	c.answer.send(w, s.requestID(c.line.n))
}

// decide does the request, all at one moment.
func (s *Simulator) decide(c *call, agent string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history.last++
	c.now, c.line.n = s.now(), s.history.last
	c.line.at, c.line.agent = c.now, s.intern(agent)
	c.delay = s.cfg.Latency
	grant, known := s.grants[c.token]
	if known {
		c.account = grant.account
		c.line.client = c.account.ClientID
		c.gate = c.account.gates[c.endpoint.api]
	}
	if c.endpoint.api == APIResidential {
		s.find(c)
	} else {
		s.throw(c)
	}
	if s.faults.Jitter > 0 {
		c.delay += time.Duration(c.dice.fraction() * float64(s.faults.Jitter))
	}
	switch {
	case !s.admit(c, grant):
	case c.wrong != "":
		c.invalid()
	default:
		s.operate(c)
	}
	c.line.status = int16(c.answer.status) //nolint:gosec // an HTTP status
	if c.answer.cut != cutNot {
		c.line.status = 0
	}
	s.count(&c.line)
	if c.line.operation == OperationList && c.line.status == http.StatusOK {
		s.counts.homes.page(c.unit, c.whole && !c.spoiled)
	}
}

// throw gives a request that is not about a home its dice: they are drawn from
// the seed, its client, its API and the number of requests these had.
func (s *Simulator) throw(c *call) {
	if c.gate == nil {
		c.dice.state = hash(s.cfg.Seed, c.line.n)
		return
	}
	c.gate.asked++
	c.dice.state = hash(s.cfg.Seed, c.gate.key, c.gate.asked)
}

// admit lets the request in when its token is good for the API and its client is
// within the limit.
func (s *Simulator) admit(c *call, g grant) bool {
	switch {
	case c.misspelled: // facts 1.10, of skill enablement
		c.problem(http.StatusBadRequest, "InvalidRequest", "The authorization header must begin with Bearer, spelled like that.")
		return false
	case c.account == nil:
		c.problem(http.StatusUnauthorized, "Unauthorized", "The access token is missing, expired, or invalid.")
		return false
	case c.account.Kind != c.endpoint.kind:
		c.problem(http.StatusForbidden, "Forbidden", "The access token doesn't have the scope of the requested operation.")
		return false
	}
	after, ok := time.Duration(0), false
	if c.dice.rare(s.faults.Throttle) {
		c.line.faults |= faultThrottle
	} else {
		after, ok = c.gate.bucket.take(c.now)
	}
	if !ok {
		c.gate.meter.refuse(c.now)
		if c.endpoint.api == APIResidential {
			s.meter.refuse(c.now)
		}
		c.problem(http.StatusTooManyRequests, "TooManyRequests", "Request has been throttled.")
		c.answer.retryAfter = s.retryAfter(after, c.now)
		return false
	}
	c.gate.meter.accept(c.now)
	if c.endpoint.api == APIResidential {
		s.meter.accept(c.now)
	}
	if c.now >= g.until {
		c.problem(http.StatusUnauthorized, "Unauthorized", "The access token is missing, expired, or invalid.")
		return false
	}
	return true
}

// operate does a request that is admitted and well formed, unless a fault comes first.
func (s *Simulator) operate(c *call) {
	write := c.endpoint.write
	switch {
	case write && c.record != nil:
		s.countWrite(c)
		s.counts.homes.write(c.unit)
	case write && c.endpoint.api != APIResidential:
		c.line.write = true
	}
	c.line.faults = s.faults.strike(&c.dice, write)
	if s.before(c) {
		return
	}
	c.do(s)
	s.after(c)
}

// clientGone notes that the client did not wait for the answer.
func (s *Simulator) clientGone(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.history.lines) > 0 && c.line.n >= s.history.first() && c.line.n <= s.history.last {
		s.history.at(c.line.n).gone = true
	}
}

// homeEndpoints are the operations of the residential API.
func homeEndpoints() []endpoint {
	const record, list = "/v1/skills/{skill}/enablements", "/v1/skills/enablements"
	home := func(op Operation, method, path string, do func(*Simulator, *call)) endpoint {
		return endpoint{
			operation: op, api: APIResidential, kind: fleet.CredentialEnterprise, method: method, path: path, write: op.write(),
			read: func(c *call, r *http.Request) work {
				c.parse(r)
				return func(s *Simulator) { s.atHome(c, do) }
			},
		}
	}
	return []endpoint{
		home(OperationList, http.MethodGet, list, (*Simulator).list),
		home(OperationGet, http.MethodGet, record, (*Simulator).get),
		home(OperationEnable, http.MethodPost, record, (*Simulator).enable),
		home(OperationDisable, http.MethodDelete, record, (*Simulator).disable),
	}
}
