package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fleetd/internal/fleet"
	"fleetd/internal/notifications/sns"
	"fleetd/internal/store"
)

// The bounds of what anybody can make the hook do: nobody has to sign in to reach it.
const (
	hookTimeout  = 12 * time.Second // SNS waits 15 s for an answer
	hookReadTime = 5 * time.Second  // for the body
	hookSlots    = 32               // messages at once, each of sns.MaxBody at most
	hookDrain    = 8 << 20          // bytes of a body too large that are read away, so that its sender reads the answer
)

// HookStore is what the receiver of events needs.
type HookStore interface {
	EventAccess(ctx context.Context, account string) (access store.EventAccess, ok bool, err error)
	EventTaken(ctx context.Context, accountID int64, messageID string) (bool, error)
	ReceiveEvent(ctx context.Context, p store.EventParams, enqueue store.EventEnqueue) (key string, d fleet.EventDisposition, err error)
}

// MessageVerifier says what SNS delivers, and confirms what it asks to confirm.
type MessageVerifier interface {
	Verify(ctx context.Context, d sns.Delivery) (sns.Message, error)
	Confirm(ctx context.Context, m sns.Message) error
}

// The results of a message beside sns.Reasons.
const (
	hookAccepted     = "accepted"
	hookDuplicate    = "duplicate"    // kept: another message told of it
	hookSubscription = "subscription" // a subscription confirmed, or ended
	hookReplayed     = "replayed"     // the same message once more
	hookRawSecret    = "raw_secret"   // a raw message without the hook's secret
	hookBusy         = "busy"
	hookFailed       = "failed" // fleetd or its database could not
)

// hooks receives what SNS delivers.
type hooks struct {
	store    HookStore
	verifier MessageVerifier
	enqueue  store.EventEnqueue
	logger   *slog.Logger
	now      func() time.Time
	slots    chan struct{}
	messages *prometheus.CounterVec
}

func newHooks(cfg Config) *hooks {
	h := &hooks{
		store: cfg.Hooks, verifier: cfg.Verifier, enqueue: cfg.EnqueueEvent, logger: cfg.Logger, now: cfg.Now,
		slots: make(chan struct{}, hookSlots),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fleet_hook_messages_total",
			Help: "Messages that came to the event hooks, by account (empty: none that takes events) and what became of them.",
		}, []string{"account", "result"}),
	}
	cfg.Registry.MustRegister(h.messages)
	return h
}

// verdict is what a message is answered and counted with.
type verdict struct {
	result string
	status int    // of the answer
	detail string // for the sender; empty for what was taken
	err    error  // for the log
}

func refused(err error) verdict {
	var refusal *sns.Refusal
	switch {
	case errors.As(err, &refusal):
		return verdict{result: string(refusal.Reason), status: refusal.Status, detail: refusal.Detail, err: refusal.Err}
	case errors.Is(err, store.ErrEventReplayed):
		return verdict{result: hookReplayed, status: http.StatusConflict, detail: "this message was taken before"}
	}
	return verdict{
		result: hookFailed, status: http.StatusServiceUnavailable, detail: "fleetd cannot take messages just now; send it again", err: err,
	}
}

func refusedFor(reason sns.Reason, detail string) verdict {
	return verdict{result: string(reason), status: reason.Status(), detail: detail}
}

// ServeHTTP takes one message. A 2xx says that it is kept: it is given after the commit.
func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), hookTimeout)
	defer cancel()
	account, v := h.receive(ctx, r)
	h.messages.WithLabelValues(account, v.result).Inc()
	if v.detail == "" {
		w.WriteHeader(v.status)
		return
	}
	level := slog.LevelWarn
	if v.result == hookFailed {
		level = slog.LevelError
	}
	h.logger.LogAttrs(ctx, level, "event message not taken", slog.String("request_id", requestID(ctx)),
		slog.String("account", account), slog.String("result", v.result), slog.String("detail", v.detail), slog.Any("error", v.err))
	switch v.status {
	case http.StatusUnauthorized: // SNS shows a name and a password when it is asked to
		w.Header().Set("WWW-Authenticate", `Basic realm="fleetd"`)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	}
	writeProblem(w, &Problem{
		Type: "about:blank", Title: http.StatusText(v.status), Status: v.status, Code: codeOf(v.status), Detail: v.detail, RequestID: requestID(ctx),
	})
}

// receive judges a message and keeps it. account is a label: it is empty unless the
// account takes events.
func (h *hooks) receive(ctx context.Context, r *http.Request) (account string, v verdict) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		return "", verdict{result: hookBusy, status: http.StatusServiceUnavailable, detail: "too many messages at once; send it again"}
	}
	name := r.PathValue("account")
	if !plainName(name) {
		return "", noSuchHook
	}
	access, ok, err := h.store.EventAccess(ctx, name)
	switch {
	case err != nil:
		return "", refused(err)
	case !ok:
		return "", noSuchHook
	}
	raw, v := admit(r, access)
	if v.result != "" {
		drainHook(r)
		return name, v
	}
	body, v := readHook(r)
	if v.result != "" {
		return name, v
	}
	m, err := h.verifier.Verify(ctx, sns.Delivery{Header: r.Header, Body: body, Topics: access.Topics, AllowRaw: raw})
	if err != nil {
		return name, refused(err)
	}
	return name, h.take(ctx, access, m)
}

var noSuchHook = verdict{result: string(sns.ReasonWrongTopic), status: http.StatusNotFound, detail: "no events are taken here"}

// plainName reports whether s can be the name of an account.
func plainName(s string) bool {
	return len(s) <= 63 && !strings.ContainsFunc(s, func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') })
}

// admit looks at the header, before anything of the body is read. raw says that the
// sender knows the secret of raw messages.
func admit(r *http.Request, access store.EventAccess) (raw bool, v verdict) {
	if topics := r.Header.Values("X-Amz-Sns-Topic-Arn"); len(topics) == 1 && !slices.Contains(access.Topics, topics[0]) {
		return false, refusedFor(sns.ReasonWrongTopic, "the topic is not one of the hook's")
	}
	if r.Header.Get("X-Amz-Sns-Rawdelivery") != "true" || !access.TakesRaw() {
		return false, v
	}
	if _, secret, ok := r.BasicAuth(); ok && access.IsRawSecret(secret) {
		return true, v
	}
	if r.Header.Get("X-Amz-Sns-Message-Type") != string(sns.Notification) {
		return false, v // a confirmation is signed, however notifications are delivered
	}
	return false, verdict{
		result: hookRawSecret, status: http.StatusUnauthorized,
		detail: "raw messages are not signed, so they need the hook's secret: put it as the password into the URL that is subscribed",
	}
}

// readHook reads a body that is neither too large nor slow.
func readHook(r *http.Request) ([]byte, verdict) {
	hurry(r)
	body, err := sns.ReadBody(r.Body)
	if err != nil {
		v := refused(err)
		if v.status == http.StatusRequestEntityTooLarge {
			drain(r.Body, hookDrain)
		}
		return nil, v
	}
	return body, verdict{}
}

// hurry bounds the time that is left for the body.
func hurry(r *http.Request) {
	if slow, ok := r.Body.(*reader); ok {
		slow.until = time.Now().Add(hookReadTime)
	}
}

// drainHook reads away a body that nobody wants: a sender that is cut off takes it for
// no answer, and sends again.
func drainHook(r *http.Request) {
	hurry(r)
	drain(r.Body, hookDrain)
}

// take keeps a message that is genuine.
func (h *hooks) take(ctx context.Context, access store.EventAccess, m sns.Message) verdict {
	p := store.EventParams{
		AccountID: access.AccountID, Account: access.Account, MessageID: m.MessageID, Topic: m.TopicARN, RawDelivery: m.Raw, SentAt: m.Timestamp,
	}
	switch m.Type {
	case sns.SubscriptionConfirmation, sns.UnsubscribeConfirmation:
		if v := h.subscribe(ctx, &p, m); v.result != "" {
			return v
		}
	case sns.Notification:
		readEvent(&p, m.Message)
		if v := h.tooOld(p); v.result != "" {
			return v
		}
		if p.EventAt.Sub(h.now()) > sns.MaxSkew { // it would keep every later event of its kind from acting
			p.Disposition = fleet.EventUnknown
		}
	}
	key, disposition, err := h.store.ReceiveEvent(ctx, p, h.enqueue)
	if err != nil {
		return refused(err)
	}
	h.logger.LogAttrs(ctx, slog.LevelInfo, "event message taken", slog.String("request_id", requestID(ctx)), slog.String("account", access.Account),
		slog.String("event", key), slog.String("name", p.Name), slog.String("disposition", string(disposition)))
	switch disposition {
	case fleet.EventDuplicate:
		return verdict{result: hookDuplicate, status: http.StatusOK}
	case fleet.EventSubscription:
		return verdict{result: hookSubscription, status: http.StatusOK}
	case fleet.EventReceived, fleet.EventActing, fleet.EventActed, fleet.EventNoRule, fleet.EventSuperseded, fleet.EventEmpty, fleet.EventUnknown:
	}
	return verdict{result: hookAccepted, status: http.StatusOK}
}

// subscribe does what a message about the subscription asks for, and makes it one that
// is kept: sent once more, it is a replay. Its token and its address are secrets.
func (h *hooks) subscribe(ctx context.Context, p *store.EventParams, m sns.Message) verdict {
	p.Name, p.Disposition, p.Body = string(m.Type), fleet.EventSubscription, []byte(`{}`)
	if m.Type != sns.SubscriptionConfirmation {
		return verdict{}
	}
	taken, err := h.store.EventTaken(ctx, p.AccountID, p.MessageID)
	if err == nil && taken {
		err = store.ErrEventReplayed
	}
	if err == nil {
		err = h.verifier.Confirm(ctx, m)
	}
	if err != nil {
		return refused(err)
	}
	return verdict{}
}

// tooOld holds raw messages to the age of signed ones: only the event says how old
// they are.
func (h *hooks) tooOld(p store.EventParams) verdict {
	switch age := h.now().Sub(p.EventAt); {
	case !p.RawDelivery || p.EventAt.IsZero():
		return verdict{}
	case age > sns.DefaultMaxAge:
		return refusedFor(sns.ReasonTooOld, "the event is older than "+sns.DefaultMaxAge.String())
	case age < -sns.MaxSkew:
		return refusedFor(sns.ReasonFuture, "the event's time is more than "+sns.MaxSkew.String()+" ahead")
	}
	return verdict{}
}
