// Package sns verifies what Amazon SNS delivers to an HTTPS endpoint. It keeps
// nothing and serves nothing: it is given the header and the body of a request and
// says what the message is, or why it is refused.
//
//	body, err := sns.ReadBody(r.Body)                  // 413 beyond MaxBody
//	m, err := verifier.Verify(ctx, sns.Delivery{Header: r.Header, Body: body, Topics: topics})
//	var refusal *sns.Refusal
//	if errors.As(err, &refusal) { count(refusal.Reason); answer(refusal.Status) }
//	if m.Type == sns.SubscriptionConfirmation { err = verifier.Confirm(ctx, m) }
//
// A message is genuine when its signature (version 2, SHA-256 with RSA) is that of
// a certificate which a host of SNS in the topic's region serves, which chains to
// the system's roots and which is made out to SNS; when its topic is one that was
// asked for; and when it is neither old nor from the future. Whatever costs nothing
// is checked first; a certificate is fetched for a message that passed all of it,
// once for all that wait for it, and no more often than a budget allows.
//
// What is not done here: a genuine message may come twice. SNS resends after a 5xx
// or a timeout, and whoever recorded a message can send it again while it is young
// enough. The caller remembers the MessageID of what it took for MaxAge at least.
//
// Sources: "Verifying the signatures of Amazon SNS messages", "HTTP/HTTPS headers",
// "Amazon SNS raw message delivery" and "Amazon SNS message delivery retries" in the
// Amazon SNS developer guide; facts 8.
package sns
