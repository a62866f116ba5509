package simulator

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"fleetd/internal/fleet"
)

// params are the parameters of a request, checked for their form only.
type params struct {
	unitID  string
	skillID string
	stage   fleet.Stage
	paging  paging
	link    *linkRequest
}

type linkRequest struct {
	redirectURI, authCode, kind string
	verifier                    string // PKCE; customers only
}

func (c *call) parse(r *http.Request) {
	p := &c.params
	if c.line.operation != OperationList {
		p.skillID = c.args[0]
	}
	if c.line.operation == OperationEnable {
		c.wrong = p.parseBody(r.Body)
	} else {
		query := r.URL.Query()
		p.unitID, p.stage = query.Get("unitId"), fleet.Stage(query.Get("stage"))
		if c.line.operation == OperationList {
			p.paging = c.readPaging(query, 10)
		}
	}
	switch {
	case c.wrong != "":
	case p.unitID == "":
		c.wrong = "unitId is missing."
	case len(p.unitID) > 255:
		c.wrong = "unitId is too long."
	case c.line.operation != OperationList && !validID(p.skillID):
		c.wrong = "skillId is malformed."
	case !p.ownStage():
		c.wrong = "stage must be development, certification or live."
	case p.link != nil && (p.link.redirectURI == "" || p.link.authCode == "" || p.link.kind != "AUTH_CODE"):
		c.wrong = "accountLinkRequest needs redirectUri, authCode and the type AUTH_CODE."
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

// parseBody reads the body of an enable and says what is wrong with it. Names must be spelled exactly, unlike
// in encoding/json, and unknown ones are ignored.
func (p *params) parseBody(body io.Reader) (wrong string) {
	request, wrong := readObject(body, maxBody)
	if wrong != "" {
		return wrong
	}
	var link map[string]json.RawMessage
	err := errors.Join(field(request, "unitId", &p.unitID), field(request, "stage", &p.stage), field(request, "accountLinkRequest", &link))
	if err == nil && link != nil {
		p.link = &linkRequest{}
		err = errors.Join(field(link, "redirectUri", &p.link.redirectURI), field(link, "authCode", &p.link.authCode),
			field(link, "type", &p.link.kind))
	}
	if err != nil {
		return notObject
	}
	return ""
}

const notObject = "The request body is not the JSON object it should be."

// readObject reads a body that must be one JSON object of at most so many bytes.
func readObject(body io.Reader, most int64) (o map[string]json.RawMessage, wrong string) {
	data, err := io.ReadAll(io.LimitReader(body, most+1))
	if err != nil || int64(len(data)) > most {
		return nil, "The request body could not be read."
	}
	if o, err = object(data); err != nil {
		return nil, notObject
	}
	return o, ""
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

// find looks up what the request is about and gives it its dice.
func (s *Simulator) find(c *call) {
	if c.wrong != "" {
		c.params.stage = fleet.Stage(s.intern(string(c.params.stage)))
	}
	c.line.stage = c.params.stage
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
}
