package enablement

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"fleetd/internal/remote"
)

// hosts are Amazon's, in the order in which the reference has them tried. Copies of it
// that say api.fe.amazon.com have a slip of the pen (facts 1.10).
var hosts = [...]string{"api.amazonalexa.com", "api.eu.amazonalexa.com", "api.fe.amazonalexa.com"}

// codeIncorrectEndpoint is the code of a 400 from a region where the customer is not.
const codeIncorrectEndpoint = "incorrectEndpoint"

// askTime is how long one endpoint may take to answer where others are to be tried too.
const askTime = 8 * time.Second

// Source says how endpoints were found.
type Source string

// The sources.
const (
	SourceAPI     Source = "api"     // the API named them
	SourceRegions Source = "regions" // the API could not say: every region's
)

// Endpoints are where the customer's calls may go.
type Endpoints struct {
	Endpoints  []string // base URLs, in the order in which they are tried; one: it is known
	Source     Source
	Remembered string // the one that served last, which is called first; empty: none
	RequestID  string
}

// EndpointError says that none of the endpoints takes the customer's calls.
type EndpointError struct {
	Tried []string
	Err   error // the last one's answer
}

// Error names the endpoints that were tried.
func (e *EndpointError) Error() string {
	return fmt.Sprintf("none of the endpoints %s takes this customer's calls: check that the customer credential is that of an "+
		"Alexa customer and that the account's API URL is right", strings.Join(e.Tried, ", "))
}

// Unwrap returns the last endpoint's answer.
func (e *EndpointError) Unwrap() error { return e.Err }

// Endpoints asks the API which endpoint is the customer's. Where it cannot say (a 5xx,
// no answer, an empty list, or that it was itself asked at the wrong one) those of every
// region are returned. An endpoint to which the customer's token must not go is an error.
func (c *Customer) Endpoints(ctx context.Context) (Endpoints, error) {
	known, err := c.known(ctx)
	if err != nil {
		return Endpoints{}, err
	}
	found, err := c.discover(ctx)
	found.Remembered = known
	return found, err
}

func (c *Customer) discover(ctx context.Context) (Endpoints, error) {
	client, err := c.cfg.Connect(c.cfg.BaseURL)
	if err != nil {
		return Endpoints{}, err
	}
	var out endpointAnswer
	asks, cancel := share(ctx, len(hosts)+2)
	defer cancel()
	meta, err := client.Do(asks, remote.Request{
		API: API, Operation: OpEndpoint, Method: http.MethodGet, Path: "/v1/alexaApiEndpoint", Advice: customerAdvice, Elsewhere: true,
	}, &out)
	switch {
	case err != nil && ctx.Err() == nil && undecided(err), err == nil && len(*out.Endpoints) == 0:
		return Endpoints{Endpoints: c.regions(), Source: SourceRegions, RequestID: meta.RequestID}, nil
	case err != nil:
		return Endpoints{}, err
	}
	found := Endpoints{Source: SourceAPI, RequestID: meta.RequestID}
	for _, text := range *out.Endpoints {
		endpoint, ok := c.admit(text)
		if !ok {
			return Endpoints{}, &remote.Error{API: API, Operation: OpEndpoint, Status: meta.Status, RequestID: meta.RequestID, Err: fmt.Errorf(
				"%w: it names an endpoint that is neither the account's own API host nor one of Amazon's (%s): the customer's token is not sent there",
				remote.ErrUnreadable, strings.Join(hosts[:], ", "))}
		}
		if !slices.Contains(found.Endpoints, endpoint) {
			found.Endpoints = append(found.Endpoints, endpoint)
		}
	}
	return found, nil
}

// undecided reports whether discovery failed in a way that leaves the question open,
// rather than refused to answer it.
func undecided(err error) bool {
	var e *remote.Error
	var budget *remote.BudgetError
	if !errors.As(err, &e) || errors.As(err, &budget) && e.Status == 0 {
		return false
	}
	return e.Status >= http.StatusInternalServerError || isElsewhere(err) || e.Status == 0 && e.Temporary()
}

// isElsewhere reports whether an endpoint said that the customer is not its own.
func isElsewhere(err error) bool {
	var e *remote.Error
	return errors.As(err, &e) && e.Status == http.StatusBadRequest && e.ErrCode == codeIncorrectEndpoint
}

// regions are the endpoints of every region. What stands in for the API has its regions
// under its own address.
func (c *Customer) regions() []string {
	base, err := remote.ParseBaseURL(c.cfg.BaseURL)
	all := make([]string, 0, len(hosts))
	if err == nil && !slices.Contains(hosts[:], strings.ToLower(base.Host)) {
		for _, region := range [...]string{"na", "eu", "fe"} {
			all = append(all, base.String()+"/"+region)
		}
		return all
	}
	for _, host := range hosts {
		all = append(all, "https://"+host)
	}
	return all
}

// admit says whether the customer's token may go to an endpoint, and returns its base
// URL. A bare host is one of https, or the account's own.
func (c *Customer) admit(endpoint string) (string, bool) {
	base, err := remote.ParseBaseURL(c.cfg.BaseURL)
	if err != nil {
		return "", false
	}
	if host, path, _ := strings.Cut(endpoint, "/"); !strings.Contains(endpoint, "://") {
		scheme := "https"
		if strings.EqualFold(host, base.Host) {
			scheme = base.Scheme
		}
		endpoint = strings.TrimRight(scheme+"://"+host+"/"+path, "/")
	}
	u, err := remote.ParseBaseURL(endpoint)
	if err != nil {
		return "", false
	}
	u.Host = strings.ToLower(u.Host)
	own := u.Scheme == base.Scheme && u.Host == strings.ToLower(base.Host)
	return u.String(), own || u.Scheme == "https" && slices.Contains(hosts[:], u.Host)
}

// known is the endpoint that is remembered. One that the token must not go to any more,
// as the account's API URL was changed, is none.
func (c *Customer) known(ctx context.Context) (string, error) {
	kept, err := c.cfg.Memory.Endpoint(ctx)
	if err != nil || kept == "" {
		return "", err
	}
	if endpoint, ok := c.admit(kept); !ok || endpoint != kept {
		c.remember(ctx, kept, "")
		return "", nil
	}
	return kept, nil
}

// remember keeps an endpoint. That it was not kept costs the next call some requests,
// and does not undo what was done.
func (c *Customer) remember(ctx context.Context, was, endpoint string) {
	if err := c.cfg.Memory.RememberEndpoint(context.WithoutCancel(ctx), was, endpoint); err != nil {
		c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "customer endpoint not remembered", slog.String("endpoint", endpoint), slog.Any("error", err))
	}
}

// send does one call at one endpoint.
type send func(ctx context.Context, r *remote.Client) (Result, error)

// at does one call at an endpoint, which its error names.
func (c *Customer) at(ctx context.Context, endpoint string, do send) (Result, error) {
	client, err := c.cfg.Connect(endpoint)
	if err != nil {
		return Result{}, err
	}
	r, err := do(ctx, client)
	var e *remote.Error
	switch {
	case err == nil:
		r.Endpoint = endpoint
	case errors.As(err, &e):
		_, e.Endpoint, _ = strings.Cut(endpoint, "://")
	}
	return r, err
}

// direct calls the endpoint that is remembered, or the only one that discovery names.
// Where there are several it does nothing and returns them.
func (c *Customer) direct(ctx context.Context, do send) (_ Result, among []string, _ error) {
	known, err := c.known(ctx)
	if err != nil {
		return Result{}, nil, err
	}
	if known != "" {
		r, err := c.at(ctx, known, do)
		if !isElsewhere(err) {
			return r, nil, err
		}
		c.remember(ctx, known, "") // the customer has moved
	}
	found, err := c.discover(ctx)
	if err != nil {
		return Result{}, nil, err
	}
	if len(found.Endpoints) > 1 {
		return Result{}, found.Endpoints, nil
	}
	r, err := c.at(ctx, found.Endpoints[0], do)
	switch {
	case err == nil:
		c.remember(ctx, "", r.Endpoint)
	case isElsewhere(err):
		err = &EndpointError{Tried: found.Endpoints, Err: err}
	}
	return r, nil, err
}

// write does a write at the customer's endpoint. Where that is not known, reads find
// it: so no write is lost at a wrong one, no auth code goes there, and a write whose
// answer is in doubt is sent to no second one.
func (c *Customer) write(ctx context.Context, skillID string, do send) (Result, error) {
	r, among, err := c.direct(ctx, do)
	if among == nil {
		return r, err
	}
	w := c.walk(ctx, among, skillID)
	if w.at != "" {
		return c.at(ctx, w.at, do)
	}
	// A customer who never enabled the skill is not known to any: of those that did not
	// refuse to be asked, only one will take the write.
	for _, endpoint := range w.absent {
		r, err := c.at(ctx, endpoint, do)
		switch {
		case err == nil:
			c.remember(ctx, "", endpoint)
			return r, nil
		case isElsewhere(err):
			w.elsewhere = err
		case !isRefusal(err):
			return Result{}, err
		case w.refusal == nil:
			w.refusal = err
		}
	}
	switch {
	case w.failure != nil:
		return Result{}, w.failure
	case w.refusal != nil:
		return Result{}, w.refusal
	}
	return Result{}, &EndpointError{Tried: among, Err: w.elsewhere}
}

// isRefusal reports whether the API said no: nothing was done, and another endpoint may
// say yes.
func isRefusal(err error) bool {
	var e *remote.Error
	return errors.As(err, &e) && e.Status >= 400 && e.Status < 500 && !e.Temporary() && !e.MaybeSent() && e.Err == nil
}

// walked is what reads at several endpoints came to.
type walked struct {
	at        string   // the one that knows the customer, empty where none said so
	absent    []string // those that answered 404
	result    Result   // of at, or of the first that is absent
	failure   error    // the first that could not be asked
	refusal   error    // the first that said no
	elsewhere error    // the last that said that the customer is not its own
}

// walk asks the endpoints in turn for the skill's status until one knows the customer.
func (c *Customer) walk(ctx context.Context, among []string, skillID string) walked {
	var w walked
	read := func(ctx context.Context, r *remote.Client) (Result, error) { return readStatus(ctx, r, skillID, true) }
	for i, endpoint := range among {
		asks, cancel := share(ctx, len(among)-i+1)
		r, err := c.at(asks, endpoint, read)
		cancel()
		switch {
		case err == nil && !r.missing:
			w.at, w.result = endpoint, r
			c.remember(ctx, "", endpoint)
			return w
		case err == nil:
			if w.absent = append(w.absent, endpoint); len(w.absent) == 1 {
				w.result = r
			}
		case isElsewhere(err):
			w.elsewhere = err
		case isRefusal(err):
			w.refusal = first(w.refusal, err)
		default:
			w.failure = first(w.failure, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return w
}

func first(before, err error) error {
	if before != nil {
		return before
	}
	return err
}

// share is a part of the time that ctx has left: one endpoint that does not answer must
// not take that of the others.
func share(ctx context.Context, parts int) (context.Context, context.CancelFunc) {
	most := askTime
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)/time.Duration(parts))
	}
	return context.WithTimeout(ctx, most)
}
