package fleet

import "time"

// Status is a skill enablement status as the API spelled it. Values that no
// page documents are kept as they came: an unknown status is never success.
type Status string

// The statuses of the residential API and of its siblings, and StatusAbsent,
// ours for "the API says that there is no enablement" (404 or NO_ASSOCIATION).
const (
	StatusAbsent          Status = "ABSENT"
	StatusEnabled         Status = "ENABLED"
	StatusEnabling        Status = "ENABLING"
	StatusEnablingFailed  Status = "ENABLING_FAILED"
	StatusDisabled        Status = "DISABLED"
	StatusDisabling       Status = "DISABLING"
	StatusDisablingFailed Status = "DISABLING_FAILED"
	StatusNoAssociation   Status = "NO_ASSOCIATION"
)

// LinkStatus is an account link status as the API spelled it; empty where the
// answer had no accountLink object (a skill that links no accounts).
type LinkStatus string

// The documented account link statuses.
const (
	Linked    LinkStatus = "LINKED"
	NotLinked LinkStatus = "NOT_LINKED"
)

// Observation is what the API said of one skill on one unit at one time.
type Observation struct {
	Status      Status     `json:"status"`
	Stage       Stage      `json:"stage,omitempty"`
	AccountLink LinkStatus `json:"account_link,omitempty"`
	ObservedAt  time.Time  `json:"observed_at"`
}
