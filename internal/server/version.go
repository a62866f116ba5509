package server

import (
	"context"
	"net/http"
	"runtime"

	"fleetd/internal/fleet"
)

// serverVersion is what runs here.
type serverVersion struct {
	Version   string `json:"version" doc:"Of fleetd."`
	GoVersion string `json:"go_version" doc:"That built it."`
}

type versionOut struct{ Body serverVersion }

func (s *server) registerVersion() {
	register(s, operation{
		id: "getVersion", method: http.MethodGet, path: "/version", tag: "version", role: fleet.RoleViewer,
		summary: "Show the server's version",
	}, s.getVersion)
}

func (s *server) getVersion(context.Context, *struct{}) (*versionOut, error) {
	return &versionOut{Body: serverVersion{Version: s.cfg.Version, GoVersion: runtime.Version()}}, nil
}
