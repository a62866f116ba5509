package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version string

// programVersion is the version that the build set, else the module's.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// versions is what `version -o json` prints.
type versions struct {
	Version       string `json:"version"`
	GoVersion     string `json:"go_version"`
	Platform      string `json:"platform"`
	Server        string `json:"server,omitempty"`
	ServerVersion string `json:"server_version,omitempty"`
}

func newVersion(p *program) *cobra.Command {
	var clientOnly bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version of fleetctl, and of fleetd when it answers", Args: cobra.NoArgs,
		RunE: p.do(func(ctx context.Context) error {
			v := versions{Version: programVersion(), GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if !clientOnly {
				v.Server, v.ServerVersion = p.askVersion(ctx)
			}
			if p.global.output == formatJSON {
				raw, err := json.Marshal(v)
				if err != nil {
					return fmt.Errorf("version: %w", err)
				}
				return writeJSON(p.stdout, raw)
			}
			text := fmt.Sprintf("fleetctl %s (%s, %s)", v.Version, v.GoVersion, v.Platform)
			if v.ServerVersion != "" {
				text += fmt.Sprintf("\nfleetd   %s at %s", v.ServerVersion, v.Server)
			}
			_, err := fmt.Fprintln(p.stdout, cleanText(text))
			return wrote(err)
		}),
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "do not ask fleetd")
	return cmd
}

// askVersion asks fleetd for its version, briefly; no answer is no error.
func (p *program) askVersion(ctx context.Context) (server, version string) {
	api, err := p.api()
	if err != nil {
		return "", ""
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r, err := api.GetVersion(ctx)
	if err != nil {
		return "", ""
	}
	return api.Server(), r.Value.Version
}
