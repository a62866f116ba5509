// Package server is fleetd's HTTP API: one file a noun, the OpenAPI document made
// from the code, problem documents (RFC 9457) for every error, bearer tokens with
// roles, and the pages that machines ask for (/healthz, /readyz, /metrics).
//
// Handlers translate: they check what only HTTP knows, call the store, and turn
// its answer into JSON. What is done to the fleet is decided elsewhere.
package server
