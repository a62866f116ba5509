// Package lwa gets access tokens from Login with Amazon with the refresh token
// grant and implements remote.TokenSource with them.
//
// A token is refreshed before it expires, once for all workers of a process
// (single flight) and once for all processes (a lease in the Store). What comes
// back is saved before it is used, a rotated refresh token above all: it may be
// the only one that still works. A refresh therefore runs to its end even when
// the caller that caused it is gone; Source.Wait waits for it.
//
// When Login with Amazon refuses the credential, the Store is told, and every
// call returns an *UnauthorizedError that names the mend until the operator sets
// a new credential. A failing token endpoint is something else, and temporary.
//
// Secrets are in no error, log line or metric of this package.
package lwa
