// Package simulator is a stand-in of what fleetd talks to: the residential
// skill management API, the APIs of skill manifests, skill enablement and skill
// development notifications, the Login with Amazon (LWA) token endpoint and a code
// minting server, on one loopback port. It keeps true state, enforces its rate
// limit exactly, misbehaves as the real services may, and tells afterwards what
// it did. The command fleetsim serves it; tests serve it with httptest:
//
//	sim := simulator.New(simulator.Config{Units: 100, RPS: 50, Faults: simulator.FaultsHarsh()})
//	server := httptest.NewServer(sim)
//
// # What it speaks
//
//   - GET, POST and DELETE /v1/skills/{skillId}/enablements and
//     GET /v1/skills/enablements: the Skill Management API of homes.
//   - POST /auth/o2/token and /auth/O2/token: the LWA refresh_token grant, form
//     or JSON body.
//   - POST and GET /v1/skills, DELETE /v1/skills/{skillId}, GET .../status, GET and
//     PUT .../stages/{stage}/manifest: skill manifests, built in the background.
//   - GET, PUT and DELETE /v1/skills/{skillId}/stages/{stage}/enablement: skill
//     enablement of the developer; GET /v1/alexaApiEndpoint and GET, POST and DELETE
//     /v1/users/~current/skills/{skillId}/enablement: of a customer, there under /na,
//     /eu and /fe, too.
//   - /v0/developmentEvents/subscribers and /subscriptions: skill development
//     notifications, whose events go to hooks by way of package topic.
//   - POST /_sim/codes: the code server, an account's code URL.
//   - /_sim/...: the controls; GET /_sim/ lists them.
//
// An LWA client is of a kind: enterprise (homes), developer (manifests, its own
// enablement, notifications) or customer. Its tokens are answered 403 elsewhere. The
// limit is a token bucket per LWA client and API. Every request that carries a token
// good for the API counts, expired ones too; the token endpoint, the code server and
// the controls do not. What a client sends is taken as Amazon's own clients send it:
// forms whose values are not percent-encoded, bodies in chunks, no Accept header.
// Errors of all but the residential API are JSON always, since those clients lose the
// status of others.
//
// A request takes effect when it arrives and is answered after the latency, so
// a client that gives up in between may have changed the state: such a history
// entry has client_gone.
//
// # The code server
//
// POST /_sim/codes takes this JSON object, every field a non-empty string:
//
//	{"account": "acme", "unit_id": "amzn1.alexa.unit.did.X", "skill_id": "amzn1.ask.skill.X", "redirect_uri": "https://example.com/linked"}
//
// and answers 200 with one authorization code:
//
//	{"code": "..."}
//
// The code belongs to that unit, skill and redirect URI, can be used once and is
// good for five minutes. Errors have another status and {"error": "..."}: 400 for
// a bad request, 404 for a unit that does not exist, 5xx for a fault.
//
// # Skills
//
// Any skill ID is a skill that homes know, at every stage. One that was made by POST
// /v1/skills, published before the start (Config.Published) or by POST /_sim/publish
// is known to its vendor besides, and homes and customers get it as the vendor's side
// allows: a stage that is not there is 404, HIDDEN or REMOVED 403 to those that do
// not have it, development 403 until its developer has enabled it. A manifest builds
// for Config.BuildDelay, and fails when a name in it contains FAIL or a control says
// so. Until then GET is 303 and another update 409.
//
// A customer has a region (Account.Region); the endpoints of others answer 400
// incorrectEndpoint. POST /_sim/regions makes endpoints fail, lose their answers, or
// discovery name several. A skill that links accounts needs a code that POST
// /_sim/customer-codes minted; the name codeVerifier of the PKCE verifier is a guess.
//
// # Events and hooks
//
// A hook is an endpoint that is subscribed to a topic (POST /_sim/hooks). An event
// goes to the topic of each subscriber with a subscription that asks for it, and
// from there, signed, to the hooks that have confirmed: ManifestUpdate when a build
// ends, SkillPublish when a skill is published, any other by POST /_sim/events. GET
// /_sim/events and GET /_sim/deliveries tell what was sent and how it was answered,
// POST /_sim/deliveries sends what a hook must refuse. Package topic has the rest.
//
// # Homes and their fates
//
// Unit IDs come from the seed. Which homes the API does not know (404), forbids
// (403), leaves in ENABLING, fails or answers with an unknown status is a hash of
// seed, unit and skill compared with the rates of Faults, so that a test can ask
// (Truth, GET /_sim/truth). Faults that hit a single request are drawn from the
// seed, the home and the number of requests that home has had: a run with the
// same seed and the same requests has the same answers, and requests to other
// homes in between do not change them.
//
// # Audits and drift
//
// Homes may start with skills (Config.Enabled, Config.SkillsPerUnit) or be given
// them (Enable, POST /_sim/enable). Homes that hold the same share the memory of
// it: a million homes of one skill take 73 MiB when every one was listed, 100,000
// of ten 9 MiB; a record that was written or read by itself takes about 100 bytes.
//
// Drift (POST /_sim/drift) changes homes by kind and returns each change; the seed
// and the request decide which. It draws a home once only, so that what an audit
// should find is the sum of what was injected. GET /_sim/truth has every home as
// it is, to be compared one by one, with the list pages it was answered, how many
// lists came to their end, and its writes.
//
// List pages may be short, empty, repeat an item, end in any of three ways, lead
// back to themselves or be refused for an old token: see Faults. A page and the
// requests for it are drawn from the seed, too.
//
// # Writes
//
// A write is a POST or DELETE of a known home that got past authorization, the
// limit and validation: it could have changed state, whatever it was answered. A
// write is a duplicate when the one before, of the same (unit, skill), was of its
// kind and no read came in between: a disable after an enable repeats nothing. A read is a GET of the record or a list of the unit that
// arrived after the write and was answered 200 or 404 intact.
package simulator
