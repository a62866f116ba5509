// Package enablement is a typed client of Amazon's skill enablement API, which enables
// a skill for the developer who owns it and for a customer who uses it.
//
// The two stand on different credentials and at different addresses. A Developer calls
// the account's API. A Customer calls the endpoint of the region in which the customer
// is registered: the API is asked which that is; where it cannot say, each endpoint is
// asked for the skill's status, and what is to be written goes to the one that knows the
// customer, and to no other. The endpoint that worked is remembered. The customer's token
// goes to the account's own API host and to Amazon's three, whatever the API answers.
package enablement
