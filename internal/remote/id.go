package remote

import "fleetd/internal/fleet"

// maxID is the longest ID that the references allow, in bytes.
const maxID = 255

// CheckID refuses what no API could have given out, before it becomes part of an
// address: field names the ID in the error, which is a *fleet.Error of code invalid.
// IDs are opaque otherwise: the references and real answers disagree on their form
// (facts 1.6).
func CheckID(field, id string) error {
	switch {
	case id == "":
		return fleet.Invalidf(field, "the ID is empty: give one")
	case len(id) > maxID:
		return fleet.Invalidf(field, "the ID has %d bytes: at most %d are allowed", len(id), maxID)
	case id == "." || id == "..":
		return fleet.Invalidf(field, "%q is not an ID: it would change the address that is called", id)
	}
	for i, r := range id {
		if r <= ' ' || r == 0x7f || r == '\uFFFD' {
			return fleet.Invalidf(field, "the ID has a space, a control character or invalid UTF-8 at byte %d: take it out", i+1)
		}
	}
	return nil
}
