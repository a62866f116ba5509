// Package server is fleetd's HTTP API: one file a noun, the OpenAPI document made
// from the code, problem documents (RFC 9457) for every error, bearer tokens with
// roles, and the pages that machines ask for (/healthz, /readyz, /metrics).
//
// Handlers translate: they check what only HTTP knows, call the store, and turn
// its answer into JSON. What is done to the fleet is decided elsewhere.
//
// /healthz, /readyz, /metrics and /openapi.json ask for no token: probes and
// Prometheus rarely have one, and nothing there is secret. Account names are labels
// of metrics, though, so where fleetd listens beyond loopback the network has to
// keep strangers away from /metrics.
package server
