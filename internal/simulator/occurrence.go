package simulator

// occurrence is something that skill development notifications tell of.
type occurrence struct {
	event     string // one of EventNames
	ok        bool   // SUCCEEDED, or FAILED
	skillID   string
	vendorID  string
	requestID string // X-Amzn-RequestId of the request that brought it about
}
