package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Faults says how often and in which ways the simulator misbehaves. The zero
// value is good behavior. Rates are shares of 1. Each field goes by its
// snake_case name in the control API and in fleetsim's --fault.
type Faults struct { //nolint:recvcheck // encoding/json marshals values too; the rest changes or scans the fields in place
	// Jitter is the most by which an answer is later than the latency.
	Jitter time.Duration

	// Throttle is the share of API requests answered 429 whatever the limit; they take nothing from it.
	Throttle float64
	// Overload is the share of API requests answered 503 before they do anything.
	Overload float64
	// OverloadRetryAfter is the share of those 503s that carry a Retry-After of 1 s.
	OverloadRetryAfter float64
	// ErrorBefore is the share of API requests answered 500, 502 or 504 before they do anything.
	ErrorBefore float64
	// CutBefore is the share of API requests whose connection is cut before they do anything.
	CutBefore float64
	// ErrorAfter is the share of writes that are done and then answered 500, 502, 503 or 504.
	ErrorAfter float64
	// CutAfter is the share of writes that are done and whose connection is then cut.
	CutAfter float64
	// TruncatedBody is the share of answers whose JSON stops half way, with a Content-Length that fits or that does not.
	TruncatedBody float64
	// EmptyBody is the share of answers that should have had a body and have none.
	EmptyBody float64
	// HTMLError is the share of 5xx answers that are a web page.
	HTMLError float64
	// EmptyError is the share of 5xx answers that have no body.
	EmptyError float64

	// ShortPage is the share of list pages with fewer items than there was room for.
	ShortPage float64
	// EmptyPage is the share of list pages with a token and no items.
	EmptyPage float64
	// NullToken is the share of last pages whose token is an explicit null (half of them) or whose context is absent.
	NullToken float64
	// DuplicateItem is the share of later pages that repeat the last item of the page before.
	DuplicateItem float64
	// ExpiredPageToken is the share of list pages asked for by a token that are answered 400.
	ExpiredPageToken float64
	// PageTokenTTL is how long page tokens can be used; for good if zero. Those given out while it is zero count from the start.
	PageTokenTTL time.Duration
	// RepeatedToken is the share of pages asked for by a token whose next token is that token again.
	RepeatedToken float64
	// RespelledUnit is the share of answers that name the unit by another of its IDs.
	RespelledUnit float64

	// SlowEnabling is the share of enables that are ENABLING for about SlowFor.
	SlowEnabling float64
	// SlowDisabling is the share of disables after which the record is seen DISABLING for about SlowFor.
	SlowDisabling float64
	// SlowFor is about how long slow enables, failing enables and slow disables take; one second if zero.
	SlowFor time.Duration

	// NotFoundHome is the share of homes that the API does not know.
	NotFoundHome float64
	// ForbiddenHome is the share of homes for which every operation is answered 403.
	ForbiddenHome float64
	// StuckEnabling is the share of (unit, skill) that stay ENABLING for ever.
	StuckEnabling float64
	// FailedEnabling is the share of (unit, skill) whose ENABLING ends ENABLING_FAILED.
	FailedEnabling float64
	// UnknownStatus is the share of (unit, skill) whose enable ends in a status that no page documents.
	UnknownStatus float64

	// EventDuplicate is the share of events that are published twice, each with a message ID of its own.
	EventDuplicate float64
	// DeliveryDuplicate is the share of messages that a hook gets twice, with one message ID.
	DeliveryDuplicate float64
	// DeliveryReorder is the share of messages that the next one for the hook overtakes; one that comes a second later does not.
	DeliveryReorder float64
	// DeliveryDelay is the most by which a message comes late to a hook.
	DeliveryDelay time.Duration

	// TokenError is the share of token requests answered 503.
	TokenError float64
	// CodeError is the share of code requests answered 503.
	CodeError float64
	// EarlyTokenExpiry is the share of access tokens that live a tenth to nine tenths of what the answer says.
	EarlyTokenExpiry float64
	// TokenTTL is how long access tokens live when Config.TokenTTL is zero; an hour if zero.
	TokenTTL time.Duration
}

// FaultsDefault is the misbehavior of an ordinary day.
func FaultsDefault() Faults {
	return Faults{
		Jitter:      10 * time.Millisecond,
		ErrorBefore: 0.01, ErrorAfter: 0.005,
		ShortPage: 0.2, EmptyPage: 0.05, NullToken: 0.5,
		SlowEnabling: 0.2, SlowFor: time.Second,
		DeliveryDuplicate: 0.1,
	}
}

// FaultsHarsh is everything that was ever seen or feared, at once, but for
// throttling below the limit and page tokens that lead in circles.
func FaultsHarsh() Faults {
	return Faults{
		Jitter:   20 * time.Millisecond,
		Overload: 0.01, OverloadRetryAfter: 0.5,
		ErrorBefore: 0.02, CutBefore: 0.01, ErrorAfter: 0.015, CutAfter: 0.015,
		TruncatedBody: 0.01, EmptyBody: 0.01, HTMLError: 0.3, EmptyError: 0.2,
		ShortPage: 0.3, EmptyPage: 0.1, NullToken: 0.5, DuplicateItem: 0.2, ExpiredPageToken: 0.01, RespelledUnit: 0.3,
		SlowEnabling: 0.2, SlowDisabling: 0.2, SlowFor: time.Second,
		NotFoundHome: 0.01, ForbiddenHome: 0.01,
		StuckEnabling: 0.01, FailedEnabling: 0.01, UnknownStatus: 0.005,
		EventDuplicate: 0.1, DeliveryDuplicate: 0.2, DeliveryReorder: 0.2, DeliveryDelay: 200 * time.Millisecond,
		TokenError: 0.01, CodeError: 0.01, EarlyTokenExpiry: 0.1, TokenTTL: 15 * time.Second,
	}
}

// FaultsNamed returns a preset: none, default or harsh.
func FaultsNamed(name string) (Faults, error) {
	switch name {
	case "none":
		return Faults{}, nil
	case "default":
		return FaultsDefault(), nil
	case "harsh":
		return FaultsHarsh(), nil
	}
	return Faults{}, fmt.Errorf("faults %q: must be none, default or harsh", name)
}

// faultField is one setting of Faults: a rate or a time.
type faultField struct {
	name     string
	rate     *float64
	duration *time.Duration
}

func (f *Faults) fields() []faultField {
	rate := func(name string, v *float64) faultField { return faultField{name: name, rate: v} }
	span := func(name string, v *time.Duration) faultField { return faultField{name: name, duration: v} }
	return []faultField{
		span("jitter", &f.Jitter),
		rate("throttle", &f.Throttle), rate("overload", &f.Overload), rate("overload_retry_after", &f.OverloadRetryAfter),
		rate("error_before", &f.ErrorBefore), rate("cut_before", &f.CutBefore),
		rate("error_after", &f.ErrorAfter), rate("cut_after", &f.CutAfter),
		rate("truncated_body", &f.TruncatedBody), rate("empty_body", &f.EmptyBody),
		rate("html_error", &f.HTMLError), rate("empty_error", &f.EmptyError),
		rate("short_page", &f.ShortPage), rate("empty_page", &f.EmptyPage), rate("null_token", &f.NullToken),
		rate("duplicate_item", &f.DuplicateItem), rate("expired_page_token", &f.ExpiredPageToken),
		span("page_token_ttl", &f.PageTokenTTL), rate("repeated_token", &f.RepeatedToken), rate("respelled_unit", &f.RespelledUnit),
		rate("slow_enabling", &f.SlowEnabling), rate("slow_disabling", &f.SlowDisabling), span("slow_for", &f.SlowFor),
		rate("not_found_home", &f.NotFoundHome), rate("forbidden_home", &f.ForbiddenHome),
		rate("stuck_enabling", &f.StuckEnabling), rate("failed_enabling", &f.FailedEnabling),
		rate("unknown_status", &f.UnknownStatus),
		rate("event_duplicate", &f.EventDuplicate), rate("delivery_duplicate", &f.DeliveryDuplicate),
		rate("delivery_reorder", &f.DeliveryReorder), span("delivery_delay", &f.DeliveryDelay),
		rate("token_error", &f.TokenError), rate("code_error", &f.CodeError),
		rate("early_token_expiry", &f.EarlyTokenExpiry), span("token_ttl", &f.TokenTTL),
	}
}

// FaultNames lists the settings of Faults.
func FaultNames() []string {
	var f Faults
	var names []string
	for _, field := range f.fields() {
		names = append(names, field.name)
	}
	return names
}

// serverError is another name of error_before: what people call it who want 5xx
// and do not care which.
const serverError = "server_error"

// Set sets one fault by name: a rate ("0.01") or a time ("1s"). The name
// server_error is taken for error_before.
func (f *Faults) Set(name, value string) error {
	if name == serverError {
		name = "error_before"
	}
	for _, field := range f.fields() {
		if field.name != name {
			continue
		}
		var err error
		if field.rate != nil {
			*field.rate, err = strconv.ParseFloat(value, 64)
		} else {
			*field.duration, err = time.ParseDuration(value)
		}
		if err != nil {
			return fmt.Errorf("fault %s: %q: must be a share such as 0.01, or a time such as 1s where it is a time", name, value)
		}
		return nil
	}
	return fmt.Errorf("fault %q: not one of %s", name, strings.Join(FaultNames(), ", "))
}

// Validate reports the first setting that makes no sense.
func (f *Faults) Validate() error {
	for _, field := range f.fields() {
		switch {
		case field.rate != nil && !(*field.rate >= 0 && *field.rate <= 1):
			return fmt.Errorf("fault %s: %v: must be from 0 to 1", field.name, *field.rate)
		case field.duration != nil && *field.duration < 0:
			return fmt.Errorf("fault %s: %v: must not be negative", field.name, *field.duration)
		}
	}
	sum := f.Overload + f.ErrorBefore + f.CutBefore + f.ErrorAfter + f.CutAfter + f.TruncatedBody + f.EmptyBody
	if sum > 1 {
		return fmt.Errorf("faults: overload, error_*, cut_*, truncated_body and empty_body add up to %v: must be 1 at most", sum)
	}
	if f.NotFoundHome+f.ForbiddenHome > 1 || f.StuckEnabling+f.FailedEnabling+f.UnknownStatus > 1 || f.HTMLError+f.EmptyError > 1 {
		return fmt.Errorf("faults: shares of the same thing add up to more than 1")
	}
	if f.EmptyPage == 1 {
		return fmt.Errorf("fault empty_page: 1: no list would ever end")
	}
	return nil
}

func (f *Faults) slowFor(d *dice) time.Duration {
	about := f.SlowFor
	if about == 0 {
		about = time.Second
	}
	return time.Duration((0.5 + d.fraction()) * float64(about))
}

// MarshalJSON writes an object of every setting.
func (f Faults) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, field := range f.fields() {
		if i > 0 {
			b.WriteByte(',')
		}
		if field.rate != nil {
			fmt.Fprintf(&b, "%q:%v", field.name, *field.rate)
		} else {
			fmt.Fprintf(&b, "%q:%q", field.name, field.duration.String())
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON changes the settings that are named. The key preset, applied
// first, sets them all to a preset.
func (f *Faults) UnmarshalJSON(data []byte) error {
	var settings map[string]json.RawMessage
	if err := json.Unmarshal(data, &settings); err != nil {
		return err
	}
	next := *f
	if raw, ok := settings["preset"]; ok {
		preset, err := FaultsNamed(strings.Trim(string(raw), `"`))
		if err != nil {
			return err
		}
		next = preset
		delete(settings, "preset")
	}
	if settings[serverError] != nil && settings["error_before"] != nil {
		return fmt.Errorf("faults server_error and error_before are the same: name one")
	}
	for name, raw := range settings {
		if err := next.Set(name, strings.Trim(string(raw), `"`)); err != nil {
			return err
		}
	}
	*f = next
	return nil
}
