package simulator

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fleetd/internal/fleet"
)

// maxBody is the most a request body may be.
const maxBody = 64 << 10

// call is one API request on its way.
type call struct {
	params  params
	token   string
	line    line // what the history will say
	account *account
	unit    *unit
	record  *record
	dice    dice
	now     time.Duration
	answer  answer
	spoiled bool // the answer cannot be read
	read    bool // the answer, unless spoiled, tells the state of the unit
	whole   bool // the answer is the last page of a list
	delay   time.Duration
}

// params are the parameters of a request, checked for their form only.
type params struct {
	unitID     string
	skillID    string
	stage      fleet.Stage
	maxResults int
	nextToken  string
	link       *linkRequest
	wrong      string // what is malformed or missing
}

type linkRequest struct{ redirectURI, authCode, kind string }

// serveAPI answers the operations of the skill management API.
func (s *Simulator) serveAPI(w http.ResponseWriter, r *http.Request) {
	c := &call{}
	var status int
	c.line.operation, c.params.skillID, status = route(r)
	if status != 0 {
		c.problem(status, "InvalidRequest", "There is no such operation.")
		c.answer.send(w, s.requestID(0))
		return
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok { // spelled like that, or it is none
		c.token = token
	}
	c.parse(r)
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

// route tells the operation from method and path, or the status to answer.
func route(r *http.Request) (op Operation, skillID string, status int) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/v1/skills/")
	if path == "enablements" {
		if r.Method != http.MethodGet {
			return "", "", http.StatusMethodNotAllowed
		}
		return OperationList, "", 0
	}
	escaped, ok := strings.CutSuffix(path, "/enablements")
	skillID, err := url.PathUnescape(escaped)
	if !ok || err != nil || strings.Contains(escaped, "/") {
		return "", "", http.StatusNotFound
	}
	switch r.Method {
	case http.MethodGet:
		return OperationGet, skillID, 0
	case http.MethodPost:
		return OperationEnable, skillID, 0
	case http.MethodDelete:
		return OperationDisable, skillID, 0
	}
	return "", "", http.StatusMethodNotAllowed
}

func (c *call) parse(r *http.Request) {
	p := &c.params
	if c.line.operation == OperationEnable {
		p.parseBody(r.Body)
	} else {
		query := r.URL.Query()
		p.unitID, p.stage, p.nextToken = query.Get("unitId"), fleet.Stage(query.Get("stage")), query.Get("nextToken")
		p.maxResults = 10
		if text := query.Get("maxResults"); text != "" && c.line.operation == OperationList {
			var err error
			if p.maxResults, err = strconv.Atoi(text); err != nil || p.maxResults < 1 || p.maxResults > 10 {
				p.wrong = "maxResults must be between 1 and 10."
			}
		}
	}
	switch {
	case p.wrong != "":
	case p.unitID == "":
		p.wrong = "unitId is missing."
	case len(p.unitID) > 255:
		p.wrong = "unitId is too long."
	case c.line.operation != OperationList && !validID(p.skillID):
		p.wrong = "skillId is malformed."
	case !p.ownStage():
		p.wrong = "stage must be development, certification or live."
	case p.link != nil && (p.link.redirectURI == "" || p.link.authCode == "" || p.link.kind != "AUTH_CODE"):
		p.wrong = "accountLinkRequest needs redirectUri, authCode and the type AUTH_CODE."
	}
}

// ownStage replaces a good stage by the constant, so that nothing keeps the
// request it came in, and reports whether it was good. None is good too.
func (p *params) ownStage() bool {
	for _, stage := range fleet.Stages() {
		if p.stage == stage {
			p.stage = stage
			return true
		}
	}
	return p.stage == ""
}

// parseBody reads the body of an enable. Names must be spelled exactly, unlike
// in encoding/json, and unknown ones are ignored.
func (p *params) parseBody(body io.Reader) {
	data, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if err != nil || len(data) > maxBody {
		p.wrong = "The request body could not be read."
		return
	}
	var link map[string]json.RawMessage
	request, err := object(data)
	if err == nil {
		err = errors.Join(field(request, "unitId", &p.unitID), field(request, "stage", &p.stage), field(request, "accountLinkRequest", &link))
	}
	if err == nil && link != nil {
		p.link = &linkRequest{}
		err = errors.Join(field(link, "redirectUri", &p.link.redirectURI), field(link, "authCode", &p.link.authCode),
			field(link, "type", &p.link.kind))
	}
	if err != nil {
		p.wrong = "The request body is not the JSON object it should be."
	}
}

func object(data []byte) (map[string]json.RawMessage, error) {
	var o map[string]json.RawMessage
	err := json.Unmarshal(data, &o)
	if err == nil && o == nil {
		err = errors.New("null is not an object")
	}
	return o, err
}

func field(o map[string]json.RawMessage, name string, v any) error {
	if raw, ok := o[name]; ok {
		return json.Unmarshal(raw, v)
	}
	return nil
}

// decide does the request, all at one moment.
func (s *Simulator) decide(c *call, agent string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history.last++
	c.now, c.line.n = s.now(), s.history.last
	if c.params.wrong != "" {
		c.params.stage = fleet.Stage(s.intern(string(c.params.stage)))
	}
	c.line.at, c.line.stage, c.line.agent = c.now, c.params.stage, s.intern(agent)
	c.delay = s.cfg.Latency
	s.find(c)
	switch {
	case !s.admit(c):
	case c.params.wrong != "":
		c.problem(http.StatusBadRequest, "InvalidRequest", c.params.wrong)
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

// find looks up what the request is about and gives it its dice.
func (s *Simulator) find(c *call) {
	var skillID string
	if c.line.operation != OperationList && validID(c.params.skillID) {
		skillID = s.skill(c.params.skillID).id
		c.line.skill = skillID
	}
	c.unit = s.units.find(c.params.unitID)
	switch {
	case c.unit == nil:
		c.line.unitID = strings.Clone(c.params.unitID[:min(len(c.params.unitID), 255)])
		c.dice.state = hash(s.cfg.Seed, c.line.n)
	case skillID == "":
		c.line.unit = c.unit
		c.unit.lists++
		c.dice.state = hash(s.cfg.Seed, c.unit.key, uint64(c.unit.lists))
	default:
		c.line.unit = c.unit
		c.record = c.unit.record(s.skill(skillID))
		c.record.settle(c.now)
		c.record.requests++
		c.dice.state = hash(s.cfg.Seed, c.unit.key, c.record.skill.key, uint64(c.record.requests))
	}
	if s.faults.Jitter > 0 {
		c.delay += time.Duration(c.dice.fraction() * float64(s.faults.Jitter))
	}
}

// admit lets the request in when its token is good and its account is within the limit.
func (s *Simulator) admit(c *call) bool {
	grant, known := s.grants[c.token]
	if !known {
		c.problem(http.StatusUnauthorized, "Unauthorized", "The access token is missing, expired, or invalid.")
		return false
	}
	c.account = grant.account
	c.line.client = c.account.ClientID
	after, ok := time.Duration(0), false
	if c.dice.rare(s.faults.Throttle) {
		c.line.faults |= faultThrottle
	} else {
		after, ok = c.account.bucket.take(c.now)
	}
	if !ok {
		c.account.meter.refuse(c.now)
		s.meter.refuse(c.now)
		c.problem(http.StatusTooManyRequests, "TooManyRequests", "Request has been throttled.")
		c.answer.retryAfter = s.retryAfter(after, c.now)
		return false
	}
	c.account.meter.accept(c.now)
	s.meter.accept(c.now)
	if c.now >= grant.until {
		c.problem(http.StatusUnauthorized, "Unauthorized", "The access token is missing, expired, or invalid.")
		return false
	}
	return true
}
