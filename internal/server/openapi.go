package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"fleetd/internal/fleet/document"
	"fleetd/internal/manifest"
)

// spec is the OpenAPI 3.0 document of this server. huma speaks 3.1; the client
// generator reads 3.0, and one document is enough.
func (s *server) spec() ([]byte, error) {
	raw, err := s.api.OpenAPI().Downgrade()
	if err != nil {
		return nil, fmt.Errorf("make the OpenAPI document: %w", err)
	}
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]json.RawMessage `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("make the OpenAPI document: %w", err)
	}
	for schema, fields := range nullableObjects() {
		for _, field := range fields {
			ref := doc.Components.Schemas[schema].Properties[field]
			if ref == nil {
				return nil, fmt.Errorf("make the OpenAPI document: there is no field %s of %s", field, schema)
			}
			old := fmt.Appendf(nil, "%q:%s", field, ref)
			mended := fmt.Appendf(nil, `%q:{"allOf":[%s],"nullable":true}`, field, ref)
			raw = bytes.Replace(raw, old, mended, 1)
		}
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, fmt.Errorf("make the OpenAPI document: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// nullableObjects names the fields that hold an object or null: huma can say so of
// every type but an object.
func nullableObjects() map[string][]string {
	return map[string][]string{
		"Rollout": {"eta", "preflight"}, "Plan": {"preflight"},
		"Target": {"before", "after"},
		"Audit":  {"slot"}, "Drift": {"desired"},
	}
}

// documentPath is the package of what stands in a document.
var documentPath = reflect.TypeFor[document.Document]().PkgPath()

// manifestPath is the package of what the skill manifest API says.
var manifestPath = reflect.TypeFor[manifest.Status]().PkgPath()

// schemaName names the schema of a type; that of a page of things is ThingList.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if t.PkgPath() == documentPath && name != "Document" {
		return "Document" + name // A skill or an entry of anything else may come.
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() == manifestPath {
		return "Skill" + name
	}
	switch name {
	case "Report":
		return "Preflight"
	case "Check":
		return "PreflightCheck"
	case "ListReport":
		return "PreflightList"
	}
	if item, ok := strings.CutPrefix(name, "List"); ok && item != "" {
		return item + "List"
	}
	return name
}

// Spec is the OpenAPI 3.0 document of the API, as /openapi.json serves it, and as
// docs/api/openapi.json keeps it with no version.
func Spec() ([]byte, error) {
	return newServer(Config{Version: "v1"}, http.NewServeMux()).spec()
}
