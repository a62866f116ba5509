// Package apis holds the API clients that an account's credentials open beside unit
// management.
package apis

import (
	"fleetd/internal/enablement"
	"fleetd/internal/manifest"
	"fleetd/internal/notifications"
)

// Developer is what the developer credential of an account opens: the skills of one
// vendor and the events about them.
type Developer struct {
	Account       string // the fleetd account
	VendorID      string
	Manifest      *manifest.Client
	Enablement    *enablement.Developer
	Notifications *notifications.Client
}

// Customer is what the customer credential of an account opens: skill enablement for
// the customer who consented.
type Customer struct {
	Account    string // the fleetd account
	Enablement *enablement.Customer
}
