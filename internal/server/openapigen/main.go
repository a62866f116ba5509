// Command openapigen writes the OpenAPI document of fleetd's API to the file it is
// given, docs/api/openapi.json. A test of internal/server fails when the two differ.
package main

import (
	"fmt"
	"io"
	"os"

	"fleetd/internal/server"
)

func main() {
	if err := exec(os.Args[1:]); err != nil {
		_, _ = io.WriteString(os.Stderr, "openapigen: "+err.Error()+"\n")
		os.Exit(1)
	}
}

func exec(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: openapigen FILE")
	}
	spec, err := server.Spec()
	if err != nil {
		return err
	}
	if err := os.WriteFile(args[0], spec, 0o644); err != nil { //nolint:gosec // Documentation is for everybody to read.
		return fmt.Errorf("write the OpenAPI document: %w", err)
	}
	return nil
}
