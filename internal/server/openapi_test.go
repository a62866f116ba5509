package server_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/server"
)

// specFile is what the client is generated from.
var specFile = filepath.Join("..", "..", "docs", "api", "openapi.json")

func TestTheOpenAPIDocumentIsTheCode(t *testing.T) {
	t.Parallel()
	spec, err := server.Spec()
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(specFile, spec, 0o600))
	}

	kept, err := os.ReadFile(specFile)

	require.NoError(t, err)
	require.Equal(t, string(kept), string(spec), "run `go run ./internal/server/openapigen docs/api/openapi.json`")
}

func TestEveryOperationIsDescribed(t *testing.T) {
	t.Parallel()
	for _, op := range operations(t) {
		require.NotEmpty(t, op.ID, "%s %s", op.Method, op.Path)
		require.NotEmpty(t, op.Summary, op.ID)
		require.Contains(t, op.Responses, "default", op.ID)
	}
}

// apiOperation is one operation of the OpenAPI document.
type apiOperation struct {
	Method    string
	Path      string
	ID        string                     `json:"operationId"` //nolint:tagliatelle // OpenAPI spells it so.
	Summary   string                     `json:"summary"`
	Responses map[string]json.RawMessage `json:"responses"`
}

func operations(t *testing.T) []apiOperation {
	t.Helper()
	spec, err := server.Spec()
	require.NoError(t, err)
	var doc struct {
		Paths map[string]map[string]apiOperation `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(spec, &doc))
	var all []apiOperation
	for path, methods := range doc.Paths {
		for method, op := range methods {
			op.Method, op.Path = method, path
			all = append(all, op)
		}
	}
	return all
}
