package server

import (
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// Guardrails is how rollouts go, in the bodies that make them.
type Guardrails struct {
	Canary        int        `json:"canary,omitempty" minimum:"0" doc:"How many units go before all others."`
	Waves         []string   `json:"waves,omitempty" doc:"The size of each wave after the canary: 50 or 10%. What is left is the last wave."`
	Soak          string     `json:"soak,omitempty" doc:"How long to wait after each wave: 10m."`
	MaxFailures   string     `json:"max_failures,omitempty" doc:"How many failures are borne before the rollout halts: 10 or 2%. 2% when not given."`
	Window        string     `json:"window,omitempty" doc:"When writes may leave, in local time: 22:00-06:00."`
	Timezone      string     `json:"timezone,omitempty" doc:"Of window, an IANA name; each property's own when not given."`
	StartAt       *time.Time `json:"start_at,omitempty" doc:"Not before then."`
	VerifyTimeout string     `json:"verify_timeout,omitempty" doc:"How long a write may take to show: 10m when not given."`
	Weight        int        `json:"weight,omitempty" minimum:"1" doc:"The share of the budget beside other rollouts; 1 when not given."`
	Paused        bool       `json:"paused,omitempty" doc:"Make it paused: nothing is released until it is resumed."`
	Reason        string     `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

// params checks what the types of JSON do not say and makes the store's input. huma does
// not see every body, so it checks what the tags say as well.
func (g *Guardrails) params() (store.RolloutParams, error) {
	p := store.RolloutParams{
		Canary: g.Canary, Waves: g.Waves, MaxFailures: g.MaxFailures, Window: g.Window, Timezone: g.Timezone, Weight: g.Weight, Paused: g.Paused, Reason: g.Reason,
	}
	switch {
	case p.Canary < 0:
		return p, fleet.Invalidf("canary", "the canary must be 0 or more units, and %d is not", p.Canary)
	case p.Weight < 0:
		return p, fleet.Invalidf("weight", "the weight must be 1 or more, and %d is not", p.Weight)
	case len(p.Reason) > maxReason:
		return p, fleet.Invalidf("reason", "the reason is longer than %d characters", maxReason)
	}
	if g.StartAt != nil {
		p.StartAt = *g.StartAt
	}
	var err error
	if p.Soak, err = duration("soak", g.Soak); err != nil {
		return p, err
	}
	if p.VerifyTimeout, err = duration("verify_timeout", g.VerifyTimeout); err != nil {
		return p, err
	}
	if g.VerifyTimeout != "" && p.VerifyTimeout == 0 {
		return p, fleet.Invalidf("verify_timeout", "a write needs time to show; give more than 0")
	}
	return p, nil
}

// ObservationAge is how old a known state may be, in the bodies of what may trust one.
type ObservationAge struct {
	ObservationMaxAge string `json:"observation_max_age,omitempty" doc:"How old a known state may be before it is read again: 24h when not given; any: never read before writing."`
}

func (a ObservationAge) set(p *store.RolloutParams) (err error) {
	if a.ObservationMaxAge == "any" {
		p.ObservationAny = true
		return nil
	}
	p.ObservationMaxAge, err = duration("observation_max_age", a.ObservationMaxAge)
	if err == nil && a.ObservationMaxAge != "" && p.ObservationMaxAge == 0 {
		// Zero means the default to the store; the shortest age there is reads always.
		p.ObservationMaxAge = time.Nanosecond
	}
	return err
}
