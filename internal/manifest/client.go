// Package manifest is a typed client of Amazon's skill manifest API.
package manifest

import "fleetd/internal/remote"

// API is the api label of this client's metrics and errors.
const API = "manifest"

// Client calls the skill manifest API for one account. It is safe for concurrent use.
type Client struct{ remote *remote.Client }

// New makes a client over the remote client of the account's developer credential.
func New(c *remote.Client) *Client { return &Client{remote: c} }
