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
	return resolveUnits(hctx, func(r io.Reader) error { return decodeRollout(r, &b.request) })
}

// resolveUnits reads a body that may name a million units.
func resolveUnits(hctx huma.Context, decode func(io.Reader) error) []error {
	if kind, _, err := mime.ParseMediaType(hctx.Header("Content-Type")); hctx.Header("Content-Type") != "" && (err != nil || kind != "application/json") {
		return []error{huma.NewErrorWithContext(hctx, http.StatusUnsupportedMediaType, "the body must be JSON: send the header Content-Type: application/json")}
	}
	limited := &io.LimitedReader{R: hctx.BodyReader(), N: maxBodyUnits + 1}
	err := decode(limited)
	status := http.StatusUnprocessableEntity
	switch timeout := (interface{ Timeout() bool })(nil); {
	case limited.N <= 0:
		status, err = http.StatusRequestEntityTooLarge, errors.New("the body is too large; select the units by a selector instead of by ID")
	case err == nil:
		return nil
	case errors.As(err, &timeout) && timeout.Timeout():
		status, err = http.StatusRequestTimeout, errors.New("the body did not arrive in time; send it again")
	}
	return []error{huma.NewErrorWithContext(hctx, status, err.Error())}
}

func decodeRollout(r io.Reader, to *rolloutRequest) error { return decodeUnits(r, to, &to.UnitIDs) }

// decodeUnits reads one JSON object: unit_ids one by one into ids, the rest as a whole
// and strictly into to.
func decodeUnits(r io.Reader, to any, ids *[]string) error {
	dec := json.NewDecoder(r)
	if err := expect(dec, json.Delim('{')); err != nil {
		return err
	}
	rest := map[string]json.RawMessage{}
	var units []string
	for size := 0; dec.More(); {
		name, err := dec.Token()
		if err != nil {
			return plainJSONError(err)
		}
		key, _ := name.(string)                 // A key of an object is a string.
		if strings.EqualFold(key, "unit_ids") { // as encoding/json takes the other names
			if units, err = decodeStrings(dec); err != nil {
				return err
			}
			continue
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return plainJSONError(err)
		}
		if size += len(value); size > maxBody {
			return errors.New("the body is too large beside its unit_ids")
		}
		rest[key] = value
	}
	if err := expect(dec, json.Delim('}')); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body must hold one JSON value and nothing after it")
	}
	text, err := json.Marshal(rest)
	if err != nil {
		return plainJSONError(err)
	}
	if err := unmarshal(text, to); err != nil {
		return err
	}
	*ids = units
	return nil
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

// describeRolloutBodies writes the body into the OpenAPI document: huma reads every
// body that it knows of before the handler runs.
func (s *server) describeRolloutBodies() {
	s.describeBody(reflect.TypeFor[rolloutRequest](), "RolloutRequest", "/api/v1/rollouts", "/api/v1/rollouts/plan")
}

// describeBody writes a body that huma does not read into the OpenAPI document, for the
// POST of some paths.
func (s *server) describeBody(body reflect.Type, name string, paths ...string) {
	doc := s.api.OpenAPI()
	schema := doc.Components.Schemas.Schema(body, true, name)
	for _, path := range paths {
		doc.Paths[path].Post.RequestBody = &huma.RequestBody{
			Required: true,
			Content:  map[string]*huma.MediaType{"application/json": {Schema: schema}},
		}
	}
}
