// Package topic is a stand-in of Amazon SNS as far as an HTTP endpoint sees it:
// topics, subscribed endpoints (hooks), the confirmation handshake, messages that
// are signed with a certificate of its own authority, retries, duplicates and
// reordering. It tells afterwards what it delivered and how it was answered, and
// sends, when told to, messages that a receiver must refuse.
//
// A topic needs no creation: it is an ARN that hooks and messages name. A message
// goes to the hooks of its topic that were confirmed before it was published; there
// is nothing for later ones, as with SNS.
//
// # Delivery
//
// Messages of a hook go one after the other, in the order in which they were
// published; each retry goes by itself. A 2xx ends it. A 5xx, a 429 or no answer is
// tried again, a few times; every other answer is final, and the message is lost.
// The user and password of the endpoint's URL are kept back until the endpoint
// answers 401 and asks for Basic: SNS was seen to do so (hashicorp's
// terraform-provider-aws pull request 861), and a receiver must know.
//
// It talks to loopback addresses only.
//
// Sources: the developer guide of Amazon SNS, pages "HTTP/HTTPS headers", "HTTP/HTTPS
// notification JSON format", "Verifying the signatures of Amazon SNS messages" and
// "Amazon SNS message delivery retries"; facts section 8.
package topic
