package simulator

import (
	"net/http"
	"time"

	"fleetd/internal/fleet"
)

// atHome does a request about a home that was not refused and met no fault.
func (s *Simulator) atHome(c *call, do func(*Simulator, *call)) {
	write := c.endpoint.write
	switch {
	case c.unit == nil:
		c.problem(http.StatusNotFound, "NotFound", "The requested unit ID can't be found.")
	case s.home(c.unit) == ClassNotFound:
		if !c.unit.removed {
			c.line.faults |= faultNotFoundHome
		}
		c.problem(http.StatusNotFound, "NotFound", "The requested unit ID can't be found.")
		c.read = !write
	case s.home(c.unit) == ClassForbidden, write && s.writesForbidden(c.unit):
		if s.home(c.unit) == ClassForbidden && !c.unit.forbidden {
			c.line.faults |= faultForbiddenHome
		}
		c.problem(http.StatusForbidden, "Forbidden", "The user doesn't have permission to perform the operation.")
	case c.record != nil && !c.record.skill.exists:
		c.problem(http.StatusNotFound, "NotFound", "The requested skill ID can't be found.")
		c.read = !write
	default:
		do(s, c)
	}
}

func (s *Simulator) get(c *call) {
	c.read = true
	if !c.record.present(c.params.stage) {
		c.problem(http.StatusNotFound, "NotFound", "The requested enablement wasn't found.")
		return
	}
	c.answer = answer{status: http.StatusOK, body: appendRecord(nil, c.record, s.echo(c))}
}

// echo is the unit ID that the answer names: not always the one that was asked for.
func (s *Simulator) echo(c *call) string {
	if s.faults.RespelledUnit > 0 && c.dice.hit(s.faults.RespelledUnit) {
		c.line.faults |= faultRespelledUnit
		return s.units.id(c.unit, true)
	}
	return c.params.unitID
}

func (s *Simulator) enable(c *call) {
	r, stage := c.record, c.params.stage
	if stage == "" {
		stage = fleet.StageLive // The reference has no default. This one is ours.
	}
	on := r.on(stage) && !r.held
	if !on && s.refuses(c, r.skill, stage) {
		return
	}
	linked := false
	if r.skill.linking {
		if c.params.link == nil {
			linked = s.cfg.DelegatedLinking
		} else if linked = s.useCode(c.params.link, c.unit, r.skill, c.now); !linked {
			c.problem(http.StatusBadRequest, "InvalidAccountLinkRequest", "Invalid account linking credentials")
			return
		}
	}
	if on {
		c.line.applied = linked && !r.linked
		r.linked = r.linked || linked
	} else {
		c.line.applied = true
		s.startEnabling(c, stage, linked)
	}
	if r.status == statusUndocumented {
		c.line.faults |= faultUnknownStatus
	} else if r.status == fleet.StatusEnabling && r.until == 0 {
		c.line.faults |= faultStuckEnabling
	}
	c.answer = answer{status: http.StatusCreated, body: appendRecord(nil, r, s.echo(c))}
}

func (s *Simulator) startEnabling(c *call, stage fleet.Stage, linked bool) {
	r := c.record
	r.clear()
	r.stage, r.linked = stage, linked
	r.status, r.next = fleet.StatusEnabling, fleet.StatusEnabled
	takes := s.cfg.EnablingDelay
	switch s.fate(c.unit, r.skill) {
	case ClassStuck:
		return
	case ClassUnknownStatus:
		r.status = statusUndocumented
		return
	case ClassEnablingFailed:
		c.line.faults |= faultFailedEnabling
		r.next = fleet.StatusEnablingFailed
		takes = max(takes, s.faults.slowFor(&c.dice))
	case ClassOK, ClassForbidden, ClassNotFound:
		if c.dice.hit(s.faults.SlowEnabling) {
			c.line.faults |= faultSlowEnabling
			takes = max(takes, s.faults.slowFor(&c.dice))
		}
	}
	if takes == 0 {
		r.status = fleet.StatusEnabled
		return
	}
	r.until = c.now + takes
}

func (s *Simulator) disable(c *call) {
	r := c.record
	c.answer = answer{status: http.StatusNoContent}
	if !r.present(c.params.stage) || r.status == fleet.StatusDisabling {
		return
	}
	c.line.applied = true
	var takes time.Duration
	if c.dice.hit(s.faults.SlowDisabling) {
		c.line.faults |= faultSlowDisabling
		takes = s.faults.slowFor(&c.dice)
	}
	if takes == 0 {
		r.clear()
		return
	}
	r.status, r.next, r.until = fleet.StatusDisabling, "", c.now+takes
}

// markRead notes that the client is told the state of what it asked about.
func (s *Simulator) markRead(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := c.unit.records
	if c.record != nil {
		records = []*record{c.record}
	}
	for _, r := range records {
		if r.lastWrite < c.line.n { // A write that came after this read was not seen by it.
			r.unread = ""
		}
	}
}
