package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// securityName names the bearer scheme in the OpenAPI document.
const securityName = "bearer"

// operation says what huma.Operation says, and what a call needs.
type operation struct {
	id      string // a Go name: the generated client has a method of it
	method  string
	path    string // under /api/v1
	tag     string
	summary string
	text    string
	role    fleet.Role
	status  int               // of success; zero: 200
	timeout time.Duration     // zero: callTimeout; below zero: none
	body    *huma.RequestBody // of a body that huma does not read
	out     map[string]*huma.Response
}

// register adds one operation: authenticated, authorized, bounded in time, and
// with every error it returns turned into a problem document.
func register[I, O any](s *server, op operation, handle func(context.Context, *I) (*O, error)) {
	h := huma.Operation{
		OperationID:     op.id,
		Method:          op.method,
		Path:            "/api/v1" + op.path,
		Tags:            []string{op.tag},
		Summary:         op.summary,
		Description:     op.text,
		DefaultStatus:   op.status,
		MaxBodyBytes:    maxBody,
		BodyReadTimeout: -1, // outer bounds each read instead: a deadline would end a long handler with it
		RequestBody:     op.body,
		Responses:       op.out,
		Security:        []map[string][]string{{securityName: {}}},
		Middlewares:     huma.Middlewares{s.authenticate(op.role)},

		RejectUnknownQueryParameters: true,
	}
	timeout := op.timeout
	if timeout == 0 {
		timeout = callTimeout
	}
	huma.Register(s.api, h, func(ctx context.Context, in *I) (*O, error) {
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		out, err := handle(ctx, in)
		if err != nil {
			return nil, s.failed(ctx, op.id, err)
		}
		return out, nil
	})
}

// failed turns an error into a problem and logs what the client is not told.
func (s *server) failed(ctx context.Context, operation string, err error) *Problem {
	p := problemOf(ctx, err)
	if p.Status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "request failed",
			slog.String("operation", operation),
			slog.String("request_id", p.RequestID),
			slog.Int("status", p.Status),
			slog.Any("error", err))
	}
	return p
}

// apiConfig is huma's configuration: JSON only, no documentation page (it loads
// from a CDN), no $schema links in answers.
func apiConfig(version string) huma.Config {
	jsonFormat := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}
	config := huma.DefaultConfig("fleetd", version)
	config.Info.Description = "Skills of thousands of homes in one change: accounts, units, rollouts and what came of them. " +
		"Errors are RFC 9457 problem documents. Creating calls take an Idempotency-Key, which is remembered for 24 hours. Lists come in pages: " +
		"pass next_cursor as cursor until it is empty."
	config.Formats = map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat}
	config.CreateHooks = nil
	config.DocsPath = ""
	config.OpenAPIPath = ""
	config.SchemasPath = ""
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		securityName: {Type: "http", Scheme: "bearer", Description: "A token of `fleetd token create` or of POST /api/v1/tokens."},
	}
	return config
}

// unmarshal decodes one JSON value, all of it, with no field that is not known: a
// guardrail misspelled must not be a guardrail ignored.
func unmarshal(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return plainJSONError(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body must hold one JSON value and nothing after it")
	}
	return nil
}

// plainJSONError says what is wrong with a body without showing any of it.
func plainJSONError(err error) error {
	syntax, wrongType := new(json.SyntaxError), new(json.UnmarshalTypeError)
	switch {
	case errors.As(err, &syntax):
		return fleet.Invalidf("", "the body is not JSON: it goes wrong at byte %d", syntax.Offset)
	case errors.As(err, &wrongType):
		return fleet.Invalidf("", "%s is a JSON %s and should be a %s", wrongType.Field, wrongType.Value, wrongType.Type)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("the body is not JSON: it ends too early")
	}
	return err
}

// Paging is the parameters of every list.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many items a page holds at most."`
	Cursor string `query:"cursor" maxLength:"2000" doc:"The next_cursor of the page before; empty for the first."`
}

// list is one page of a list.
type list[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor" doc:"The cursor of the next page; empty on the last."`
}

// encodeCursor makes a cursor of a place in a list. Callers need not understand it.
func encodeCursor[T comparable](place T) string {
	var zero T
	if place == zero {
		return ""
	}
	text, err := json.Marshal(place)
	if err != nil { // Places are numbers, strings and structs of them.
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// decodeCursor reads what encodeCursor made.
func decodeCursor[T comparable](cursor string) (place T, err error) {
	if cursor == "" {
		return place, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(text, &place)
	}
	if err != nil {
		return place, fleet.Invalidf("cursor", "this is not a next_cursor of this list; start again without one")
	}
	return place, nil
}

// newList makes one page; items is never null in JSON.
func newList[T any, C comparable](items []T, next C) *list[T] {
	if items == nil {
		items = []T{}
	}
	return &list[T]{Items: items, NextCursor: encodeCursor(next)}
}

// Creating is the header of every creating call.
type Creating struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"Makes a repeated call safe: for 24 hours the same key with the same request gets the first call's answer and changes nothing. After that the key may be forgotten, and the call creates anew."`
}

// Replay is the header of the answer to a repeated creating call.
type Replay struct {
	Replayed string `header:"Idempotency-Replayed" doc:"true when an earlier call with this Idempotency-Key did the work."`
}

func replayed(yes bool) Replay {
	if yes {
		return Replay{Replayed: "true"}
	}
	return Replay{}
}

// units is a part of a request that is hashed one by one: encoding a million at
// once would hold them twice.
type units []string

// idempotency ties a key to everything that makes up a request.
func (c Creating) idempotency(operation string, parts ...any) (store.Idempotency, error) {
	if c.IdempotencyKey == "" {
		return store.Idempotency{}, nil
	}
	h := sha256.New()
	enc := json.NewEncoder(h)
	for _, part := range append([]any{operation}, parts...) {
		if ids, ok := part.(units); ok {
			for _, id := range ids {
				if err := enc.Encode(id); err != nil {
					return store.Idempotency{}, fmt.Errorf("hash the request: %w", err)
				}
			}
			continue
		}
		if err := enc.Encode(part); err != nil {
			return store.Idempotency{}, fmt.Errorf("hash the request: %w", err)
		}
	}
	return store.Idempotency{Key: c.IdempotencyKey, Hash: h.Sum(nil)}, nil
}

// reasonBody is the body of calls that need nothing but a why.
type reasonBody struct {
	Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

func (b *reasonBody) text() string {
	if b == nil {
		return ""
	}
	return b.Reason
}

// duration reads a Go duration that must not be negative; empty is zero.
func duration(field, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fleet.Invalidf(field, "%q is not a duration; write one like 30s, 10m or 2h30m", cut(text))
	}
	if d < 0 {
		return 0, fleet.Invalidf(field, "a duration must not be negative, and %s is", d)
	}
	return d, nil
}
