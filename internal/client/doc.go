// Package client is fleetctl's client of fleetd's HTTP API.
//
// The types and one method for each operation are generated from
// docs/api/openapi.json into client.gen.go (make generate). What they stand on is
// written by hand: client.go sends and receives, error.go says what went wrong.
// The generator's own client is replaced by templates/client.tmpl, so that
// answers keep their bytes (fleetctl -o json prints them as they came), CSV is
// streamed both ways, and nothing but the standard library is needed.
package client
