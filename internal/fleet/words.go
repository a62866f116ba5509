package fleet

// Action is what a rollout does to a skill on every one of its targets.
type Action string

// The two actions.
const (
	ActionEnable  Action = "enable"
	ActionDisable Action = "disable"
)

// Actions lists every action.
func Actions() []Action { return []Action{ActionEnable, ActionDisable} }

// Stage is a skill stage as the residential skill management API spells it.
// The other Alexa APIs have vocabularies of their own; this one is not shared.
type Stage string

// The stages of the residential skill management API.
const (
	StageDevelopment   Stage = "development"
	StageCertification Stage = "certification"
	StageLive          Stage = "live"
)

// Stages lists every stage.
func Stages() []Stage { return []Stage{StageDevelopment, StageCertification, StageLive} }

// Occupancy says who has a home. Only vacant homes may be written to unless the
// operator asks otherwise: in the others the resident's account owns the resources.
type Occupancy string

// The occupancies.
const (
	OccupancyVacant   Occupancy = "vacant"
	OccupancyOccupied Occupancy = "occupied"
	OccupancyLinked   Occupancy = "linked"
)

// Occupancies lists every occupancy.
func Occupancies() []Occupancy {
	return []Occupancy{OccupancyVacant, OccupancyOccupied, OccupancyLinked}
}

// LinkMode is how an account links the skills it enables.
type LinkMode string

// The link modes.
const (
	// LinkNone sends no account link and asks for none.
	LinkNone LinkMode = "none"
	// LinkDelegated sends none: an admin linked the provider account once, and
	// every enablement inherits it. The answer must say LINKED where it says anything.
	LinkDelegated LinkMode = "delegated"
	// LinkCodes asks a code server for one authorization code per write.
	LinkCodes LinkMode = "codes"
)

// LinkModes lists every link mode.
func LinkModes() []LinkMode { return []LinkMode{LinkNone, LinkDelegated, LinkCodes} }

// Role is what a bearer token may do.
type Role string

// The roles, each holding what the one before it may do.
const (
	RoleViewer   Role = "viewer"
	RoleOperator Role = "operator"
	RoleAdmin    Role = "admin"
)

// Roles lists every role, weakest first.
func Roles() []Role { return []Role{RoleViewer, RoleOperator, RoleAdmin} }

// Allows reports whether a token of role r may do what needs role need.
func (r Role) Allows(need Role) bool { return r.rank() >= need.rank() && r.rank() > 0 }

func (r Role) rank() int {
	switch r {
	case RoleViewer:
		return 1
	case RoleOperator:
		return 2
	case RoleAdmin:
		return 3
	}
	return 0
}

// Actor is who asks for a change, for the log.
type Actor struct {
	Name string // the token's name, or "system"
	Role Role
}
