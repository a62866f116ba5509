package remote

// Class orders the waiting callers of one budget. The zero value is the class
// of a person who waits for an answer.
type Class int

// The classes, most urgent first. None starves: the budget gives each a share.
const (
	ClassInteractive Class = iota // a person or a token request waits
	ClassVerify                   // a write waits to be proven
	ClassRollout                  // the writes of a rollout and the reads before them
	ClassAudit                    // the reads of an audit
)

// Classes lists every class, most urgent first.
func Classes() []Class {
	return []Class{ClassInteractive, ClassVerify, ClassRollout, ClassAudit}
}

// String is the class as metrics and logs spell it.
func (c Class) String() string {
	switch c {
	case ClassInteractive:
		return "interactive"
	case ClassVerify:
		return "verify"
	case ClassRollout:
		return "rollout"
	case ClassAudit:
		return "audit"
	}
	return "unknown"
}
