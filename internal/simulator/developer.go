package simulator

import (
	"io"
	"net/http"

	"fleetd/internal/fleet"
)

// developerEndpoints are the operations that seed 001 has for the owner of a skill.
func developerEndpoints() []endpoint {
	of := func(op Operation, method string, do func(*Simulator, *call, *skill, fleet.Stage)) endpoint {
		return endpoint{
			operation: op, api: APIEnablement, kind: fleet.CredentialDeveloper, method: method,
			path: "/v1/skills/{skill}/stages/{stage}/enablement", write: method != http.MethodGet,
			read: func(c *call, r *http.Request) work {
				c.readSkill()
				stage := c.readStage()
				if stage == fleet.StageCertification {
					c.violate("INVALID_ENUM_VALUE", "stage must be development or live.")
				}
				_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxBody)) // It has none, whatever an official client sends.
				return func(s *Simulator) {
					if k := s.own(c); k != nil {
						do(s, c, k, stage)
					}
				}
			},
		}
	}
	return []endpoint{
		of(OperationDeveloperEnable, http.MethodPut, (*Simulator).developerEnable),
		of(OperationDeveloperStatus, http.MethodGet, (*Simulator).developerStatus),
		of(OperationDeveloperDisable, http.MethodDelete, (*Simulator).developerDisable),
	}
}

func (s *Simulator) developerEnable(c *call, k *skill, stage fleet.Stage) {
	p := k.product
	e := p.editions[stage]
	switch {
	case p.build.status == buildRunning && p.build.stage == stage:
		c.problem(http.StatusConflict, "Conflict", "The skill is being built. Try again when it is done.")
	case e == nil && p.build.stage == stage:
		c.violate("BUILD_FAILED", "The last build of the manifest failed. Update the manifest.")
		c.reply(http.StatusForbidden, map[string]any{"message": "Skill is not ready for enablement.", "violations": c.violations})
	case e == nil:
		c.problem(http.StatusNotFound, "NotFound", "The requested skill stage can't be found.")
	case e.withdrawn():
		c.problem(http.StatusForbidden, "Forbidden", "The skill can't be enabled anymore.")
	default:
		c.line.applied = p.enabled != stage
		p.enabled = stage // whichever was enabled is so no longer
		c.doneAs(http.StatusNoContent)
	}
}

func (s *Simulator) developerStatus(c *call, k *skill, stage fleet.Stage) {
	if k.product.enabled != stage {
		c.problem(http.StatusNotFound, "NotFound", "The skill isn't enabled at the requested stage.")
		return
	}
	c.doneAs(http.StatusNoContent)
}

func (s *Simulator) developerDisable(c *call, k *skill, stage fleet.Stage) {
	if k.product.enabled != stage {
		c.problem(http.StatusNotFound, "NotFound", "The skill isn't enabled at the requested stage.")
		return
	}
	c.line.applied = true
	k.product.enabled = ""
	c.doneAs(http.StatusNoContent)
}

// withdrawn reports whether who does not have the skill cannot get it.
func (e *edition) withdrawn() bool {
	return e.status == PublicationHidden || e.status == PublicationRemoved
}

// refuses answers a new enablement, by a home or a customer, that the vendor's
// side of the skill does not allow, and reports whether it did. A skill that the
// manifest API does not know is at every stage.
func (s *Simulator) refuses(c *call, k *skill, stage fleet.Stage) bool {
	if k.product == nil {
		return false
	}
	s.settleBuild(k, c.now)
	e := k.product.editions[stage]
	switch {
	case e == nil:
		c.problem(http.StatusNotFound, "NotFound", "The requested skill stage can't be found.")
	case e.withdrawn():
		c.problem(http.StatusForbidden, "Forbidden", "The skill can't be enabled anymore.")
	case stage == fleet.StageDevelopment && k.product.enabled != stage:
		c.problem(http.StatusForbidden, "Forbidden", "The skill's developer hasn't enabled the requested stage.")
	default:
		return false
	}
	return true
}
