// Package notifications is a typed client of Amazon's skill development notifications
// API.
package notifications

import "fleetd/internal/remote"

// API is the api label of this client's metrics and errors.
const API = "notifications"

// Client calls the development notifications API for one account. It is safe for
// concurrent use.
type Client struct{ remote *remote.Client }

// New makes a client over the remote client of the account's developer credential.
func New(c *remote.Client) *Client { return &Client{remote: c} }
