package server

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"fleetd/internal/fleet"
)

// RolloutBody is the body of planRollout and createRollout. It may name a million
// units, so it is decoded as it comes: of 64 MiB, only the unit IDs stay.
type RolloutBody struct{ request rolloutRequest }

// Resolve decodes the body.
func (b *RolloutBody) Resolve(hctx huma.Context) []error {
	return resolveJSON(hctx, maxBodyUnits, func(r io.Reader) error { return decodeRollout(r, &b.request) })
}

// resolveJSON decodes a body of JSON as it comes, of at most so many bytes.
func resolveJSON(hctx huma.Context, most int64, decode func(io.Reader) error) []error {
	if kind, _, err := mime.ParseMediaType(hctx.Header("Content-Type")); hctx.Header("Content-Type") != "" && (err != nil || kind != "application/json") {
		return []error{huma.NewErrorWithContext(hctx, http.StatusUnsupportedMediaType, "the body must be JSON: send the header Content-Type: application/json")}
	}
	limited := &io.LimitedReader{R: hctx.BodyReader(), N: most + 1}
	err := decode(limited)
	status := http.StatusUnprocessableEntity
	switch timeout := (interface{ Timeout() bool })(nil); {
	case limited.N <= 0:
		status, err = http.StatusRequestEntityTooLarge, errors.New("the body is too large; select the units by a selector instead of one by one")
	case err == nil:
		return nil
	case errors.As(err, &timeout) && timeout.Timeout():
		status, err = http.StatusRequestTimeout, errors.New("the body did not arrive in time; send it again")
	}
	return []error{huma.NewErrorWithContext(hctx, status, err.Error())}
}

// decodeRollout reads the request of a rollout.
func decodeRollout(r io.Reader, to *rolloutRequest) (err error) {
	to.UnitIDs, err = decodeWithUnits(r, to)
	return err
}

// decodeWithUnits reads one JSON object: unit_ids, which it returns, one by one, the rest
// as a whole and strictly.
func decodeWithUnits(r io.Reader, to any) (units []string, err error) {
	dec := json.NewDecoder(r)
	if err := expect(dec, json.Delim('{')); err != nil {
		return nil, err
	}
	rest := map[string]json.RawMessage{}
	for size := 0; dec.More(); {
		name, err := dec.Token()
		if err != nil {
			return nil, plainJSONError(err)
		}
		key, _ := name.(string)                 // A key of an object is a string.
		if strings.EqualFold(key, "unit_ids") { // as encoding/json takes the other names
			if units, err = decodeStrings(dec); err != nil {
				return nil, err
			}
			continue
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, plainJSONError(err)
		}
		if size += len(value); size > maxBody {
			return nil, errors.New("the body is too large beside its unit_ids")
		}
		rest[key] = value
	}
	if err := expect(dec, json.Delim('}')); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the body must hold one JSON value and nothing after it")
	}
	text, err := json.Marshal(rest)
	if err != nil {
		return nil, plainJSONError(err)
	}
	return units, unmarshal(text, to)
}

// decodeStrings reads a JSON array of strings.
func decodeStrings(dec *json.Decoder) ([]string, error) {
	if err := expect(dec, json.Delim('[')); err != nil {
		return nil, fleet.Invalidf("", "unit_ids must be a list of unit IDs")
	}
	var all []string
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, plainJSONError(err)
		}
		text, ok := token.(string)
		if !ok {
			return nil, fleet.Invalidf("", "unit_ids[%d] is not a unit ID", len(all))
		}
		all = append(all, text)
	}
	return all, expect(dec, json.Delim(']'))
}

func expect(dec *json.Decoder, want json.Delim) error {
	token, err := dec.Token()
	if err != nil {
		return plainJSONError(err)
	}
	if token != want {
		return errors.New("the body must be a JSON object")
	}
	return nil
}

// describeRolloutBodies writes the body of rollouts into the OpenAPI document.
func (s *server) describeRolloutBodies() {
	describeBodies[rolloutRequest](s, "RolloutRequest", "/api/v1/rollouts", "/api/v1/rollouts/plan")
}

// describeBodies writes a body that resolveJSON decodes into the OpenAPI document: huma
// reads every body that it knows of before the handler runs.
func describeBodies[T any](s *server, name string, paths ...string) {
	doc := s.api.OpenAPI()
	schema := doc.Components.Schemas.Schema(reflect.TypeFor[T](), true, name)
	for _, path := range paths {
		doc.Paths[path].Post.RequestBody = &huma.RequestBody{
			Required: true,
			Content:  map[string]*huma.MediaType{"application/json": {Schema: schema}},
		}
	}
}
