package simulator

import (
	"net/http"

	"fleetd/internal/fleet"
)

// list answers a page of what a home has.
func (s *Simulator) list(c *call) {
	p := c.params.paging
	p.query = hash(c.unit.key, hashText(string(c.params.stage)), uint64(p.size)) //nolint:gosec // 1 to 10
	items := make([]*record, 0, len(c.unit.records))
	for _, r := range c.unit.records {
		r.settle(c.now)
		if r.present(c.params.stage) {
			items = append(items, r)
		}
	}
	shown, f, ok := pageOf(s, c, p, items, func(r *record) string { return r.skill.id })
	if !ok {
		return
	}
	c.read, c.whole = true, f.token == ""

	body := []byte(`{`)
	switch {
	case !c.whole:
		body = append(body, `"paginationContext":{"nextToken":`...)
		body = append(body, quote(f.token)...)
		body = append(body, `},`...)
	case !f.null:
		body = append(body, `"paginationContext":{},`...)
	case c.dice.hit(0.5):
		body = append(body, `"paginationContext":{"nextToken":null},`...)
	}
	body = append(body, `"items":[`...)
	unitID := s.echo(c)
	for i, r := range shown {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendRecord(body, r, unitID)
	}
	c.answer = answer{status: http.StatusOK, body: append(body, `]}`...)}
}

// Records returns what a complete list of the home would show, in its order.
func (s *Simulator) Records(unitID string) []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.units.find(unitID)
	if u == nil {
		return nil
	}
	var states []State
	for _, r := range u.records {
		if st := s.stateOf(u, r.skill, s.now()); st.Status != fleet.StatusAbsent {
			states = append(states, st)
		}
	}
	return states
}
