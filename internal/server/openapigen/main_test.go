package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestItWritesTheDocumentThatIsKept(t *testing.T) {
	t.Parallel()
	made := filepath.Join(t.TempDir(), "openapi.json")
	require.NoError(t, os.WriteFile(made, []byte("an older and longer one"), 0o600))

	require.NoError(t, exec([]string{made}))

	want, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "api", "openapi.json"))
	require.NoError(t, err)
	got, err := os.ReadFile(made)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run `go run ./internal/server/openapigen docs/api/openapi.json`")
}

func TestItSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"a", "b"}} {
		require.EqualError(t, exec(args), "usage: openapigen FILE")
	}
	require.ErrorContains(t, exec([]string{filepath.Join(t.TempDir(), "no", "folder")}), "write the OpenAPI document: ")
}
