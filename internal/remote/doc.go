// Package remote is what the clients of the Alexa APIs share: how a request is
// built, sent and decoded, what its failure says, and the chain of transports
// that nothing bypasses.
//
// One call of Client.Do goes through these, outermost first:
//
//	auth      adds the access token; on a 401 refreshes it once and sends again
//	throttle  a 429 was not executed: waits for the next slot and sends again
//	limit     takes a slot of the account's budget and reports the answer to it; has
//	          the body made now where it must be fresh
//	meter     counts and times what left
//	exchange  one bounded attempt: the caller's gate, the send, the whole body
//
// Beneath them, in place of the transport that sends the bytes, may stand ReadOnly:
// a client over it cannot change anything, whoever has it.
//
// A failure is an *Error. It keeps the status, the request ID, the type and
// Retry-After whatever the body was, and answers three questions: Temporary,
// Throttled, and MaybeSent, which is true for a write whose outcome nobody knows.
// Such a write is never sent again from here: its caller reads first.
//
// The typed clients (residential and its siblings) stand on this package; the
// budget (ratelimit) and the tokens (lwa) implement its Limiter and TokenSource.
package remote
