package simulator

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"

	"fleetd/internal/simulator/topic"
)

// maxName is how long a name may be. Seed 003 has no bound; this one is ours.
const maxName = 255

var roleForm = regexp.MustCompile(`^arn:aws(-cn|-us-gov)?:iam::\d{12}:role/[\w+=,.@/-]{1,512}$`)

// readTarget reads name and endpoint of a subscriber. What is not declared is empty.
func (c *call) readTarget(o map[string]json.RawMessage) (t target) {
	if _, ok := o["name"]; ok {
		t.name = c.readText(o, "name", maxName)
	}
	raw, ok := o["endpoint"]
	if !ok || c.wrong != "" {
		return t
	}
	endpoint, err := object(raw)
	authorization, err2 := object(endpoint["authorization"])
	if err != nil || err2 != nil {
		c.wrong = "endpoint must be an object with uri and authorization."
		return t
	}
	t.uri, t.role = c.readText(endpoint, "uri", 512), c.readText(authorization, "arn", 2048)
	kind := c.readText(authorization, "type", 64)
	switch {
	case c.wrong != "":
	case !topic.ValidARN(t.uri):
		c.wrong = "endpoint.uri must be the ARN of an Amazon SNS topic."
	case kind != "AWS_IAM":
		c.wrong = "endpoint.authorization.type must be AWS_IAM."
	case !roleForm.MatchString(t.role):
		c.wrong = "endpoint.authorization.arn must be the ARN of an IAM role."
	}
	return t
}

func readCreateSubscriber(c *call, r *http.Request) work {
	o, wrong := readObject(r.Body, maxBody)
	c.wrong = wrong
	vendor := c.readText(o, "vendorId", maxName)
	t := c.readTarget(o)
	if c.wrong == "" && (t.name == "" || t.uri == "") {
		c.wrong = "name and endpoint are required."
	}
	return func(s *Simulator) {
		c.forVendor(vendor, func() {
			sub := &subscriber{vendor: c.account.VendorID, client: c.account.ClientID, target: t}
			sub.id, sub.key = s.newID("amzn1.ask-subscriber")
			s.notices.subscribers = append(s.notices.subscribers, sub)
			c.createdAt(pathSubscribers, sub.id)
			s.sns.Publish(topic.Message{TopicARN: t.uri, Text: "{}"}) // "an empty JSON object": that the endpoint is set up well can be seen
		})
	}
}

// ofSubscriber reads a request about one subscriber, whose ID the path has.
func ofSubscriber(do func(*Simulator, *call, *subscriber)) func(*call, *http.Request) work {
	return func(c *call, _ *http.Request) work {
		return func(s *Simulator) { s.atSubscriber(c, func(sub *subscriber) { do(s, c, sub) }) }
	}
}

func (s *Simulator) atSubscriber(c *call, do func(*subscriber)) {
	at(c, s.notices.subscribers, func(b *subscriber) string { return b.id }, func(b *subscriber) string { return b.vendor }, do)
}

// show is the subscriber as the API writes it.
func (b *subscriber) show() map[string]any {
	return map[string]any{
		"subscriberId": b.id,
		"name":         b.target.name,
		"endpoint": map[string]any{
			"uri":           b.target.uri,
			"authorization": map[string]any{"type": "AWS_IAM", "arn": b.target.role},
		},
	}
}

func getSubscriber(_ *Simulator, c *call, b *subscriber) { c.reply(http.StatusOK, b.show()) }

func readListSubscribers(c *call, r *http.Request) work {
	query, self := r.URL.Query(), r.URL
	vendor := query.Get("vendorId")
	p := c.readPaging(query, maxNotificationPage)
	if c.wrong == "" && vendor == "" {
		c.wrong = "vendorId is missing."
	}
	return func(s *Simulator) {
		c.forVendor(vendor, func() {
			own := slices.DeleteFunc(slices.Clone(s.notices.subscribers), func(b *subscriber) bool { return b.vendor != vendor })
			listed(s, c, p, self, "subscribers", own, func(b *subscriber) string { return b.key }, func(b *subscriber) map[string]any {
				shown := b.show()
				shown["clientId"], shown["status"] = b.client, "ACTIVE"
				return shown
			})
		})
	}
}

func readUpdateSubscriber(c *call, r *http.Request) work {
	o, wrong := readObject(r.Body, maxBody)
	c.wrong = wrong
	c.refuseOther(o, "subscriberId")
	t := c.readTarget(o)
	return func(s *Simulator) {
		s.atSubscriber(c, func(b *subscriber) {
			setIf(&b.target.name, t.name)
			setIf(&b.target.uri, t.uri)
			setIf(&b.target.role, t.role)
			c.changed()
		})
	}
}

func setIf(v *string, value string) {
	if value != "" {
		*v = value
	}
}

func deleteSubscriber(s *Simulator, c *call, b *subscriber) {
	if slices.ContainsFunc(s.notices.subscriptions, func(x *subscription) bool { return x.subscriber == b }) {
		c.problem(http.StatusBadRequest, "InvalidRequest", "The subscriber has subscriptions. Delete them first.")
		return
	}
	s.notices.subscribers = slices.DeleteFunc(s.notices.subscribers, func(x *subscriber) bool { return x == b })
	c.changed()
}
