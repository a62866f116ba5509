package simulator

// What is told of.
const (
	eventManifestUpdate = "ManifestUpdate"
	eventSkillPublish   = "SkillPublish"
)

// occurrence is something that skill development notifications tell of.
type occurrence struct {
	event     string
	ok        bool // SUCCEEDED, or FAILED
	skillID   string
	vendorID  string
	requestID string // X-Amzn-RequestId of the request that brought it about
}

// happened tells the subscribers of o. The simulator is locked.
func (s *Simulator) happened(occurrence) {}
