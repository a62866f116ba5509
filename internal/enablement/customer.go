package enablement

import "fleetd/internal/remote"

// CustomerConfig says how a Customer reaches the endpoint of its customer.
type CustomerConfig struct {
	// BaseURL is asked for the customer's endpoint. Required.
	BaseURL string
	// Connect makes the remote client of the account's customer credential for an
	// endpoint's base URL. Required.
	Connect func(baseURL string) (*remote.Client, error)
}

// Customer calls the operations of one customer. It is safe for concurrent use.
type Customer struct{ cfg CustomerConfig }

// NewCustomer makes a client; it sends nothing.
func NewCustomer(cfg CustomerConfig) *Customer { return &Customer{cfg: cfg} }
