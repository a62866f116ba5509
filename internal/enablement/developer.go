// Package enablement is a typed client of Amazon's skill enablement API, for the
// developer who owns a skill and for a customer who uses it.
package enablement

import "fleetd/internal/remote"

// API is the api label of this client's metrics and errors.
const API = "enablement"

// Developer calls the operations of a skill's owner. It is safe for concurrent use.
type Developer struct{ remote *remote.Client }

// NewDeveloper makes a client over the remote client of the account's developer
// credential.
func NewDeveloper(c *remote.Client) *Developer { return &Developer{remote: c} }
