package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// contextsFile is what fleetctl remembers between runs: servers and their tokens.
// It holds secrets, so only its owner may read it.
type contextsFile struct {
	Current  string                  `json:"current"`
	Contexts map[string]contextEntry `json:"contexts"`
}

// contextEntry is one server and the token for it.
type contextEntry struct {
	Server string `json:"server"`
	Token  string `json:"token,omitempty"`
}

// target is the server that a run talks to, and where its name came from.
type target struct {
	server string
	token  string
	source string
}

// contextsPath is FLEETCTL_CONFIG, else contexts.json under the user's config folder.
func (p *program) contextsPath() (string, error) {
	if path := p.getenv("FLEETCTL_CONFIG"); path != "" {
		return path, nil
	}
	dir := p.getenv("XDG_CONFIG_HOME")
	if dir == "" {
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return "", fmt.Errorf("find the folder of the contexts file: %w; set FLEETCTL_CONFIG to a file", err)
		}
	}
	return filepath.Join(dir, "fleetctl", "contexts.json"), nil
}

// readContexts reads the contexts file; one that is not there is empty.
func (p *program) readContexts() (contextsFile, error) {
	file := contextsFile{Contexts: map[string]contextEntry{}}
	path, err := p.contextsPath()
	if err != nil {
		return file, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return file, nil
	}
	if err != nil {
		return file, fmt.Errorf("read the contexts file: %w", err)
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		p.note("warning: other users of this machine can read the tokens in %s: chmod 600 %s", path, path)
	}
	if err := json.NewDecoder(f).Decode(&file); err != nil {
		return file, fmt.Errorf("read the contexts file %s: %w; mend it or delete it", path, err)
	}
	if file.Contexts == nil {
		file.Contexts = map[string]contextEntry{}
	}
	return file, nil
}

// writeContexts replaces the contexts file in one step.
func (p *program) writeContexts(file contextsFile) error {
	path, err := p.contextsPath()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write the contexts file: %w", err)
	}
	b, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return fmt.Errorf("write the contexts file: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".contexts-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write the contexts file: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(append(b, '\n'))
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("write the contexts file: %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write the contexts file: %w", err)
	}
	return nil
}

// target finds the server and the token: flags, then a context named on the
// command line, then the environment, then the current context.
//
// A context's token goes to the context's server only: naming another server must
// not hand it the token of this one.
func (p *program) target() (target, error) {
	t := target{server: p.global.server, token: p.global.token, source: "--server"}
	named := p.global.context != ""
	if t.server == "" && !named {
		t.server, t.source = p.getenv("FLEETCTL_SERVER"), "FLEETCTL_SERVER"
	}
	if t.token == "" && !named {
		t.token = p.getenv("FLEETCTL_TOKEN")
	}
	if t.server != "" && t.token != "" {
		return t, nil
	}
	name, entry, err := p.currentContext()
	if err != nil {
		return t, err
	}
	if t.server == "" && entry.Server != "" {
		t.server, t.source = entry.Server, "context "+name
	}
	if t.server == "" {
		t.server, t.source = defaultServer, "default"
	}
	if t.token == "" && sameServer(t.server, entry.Server) {
		t.token = entry.Token
	}
	return t, nil
}

// currentContext returns the context that this run names, or the current one, or none.
func (p *program) currentContext() (string, contextEntry, error) {
	file, err := p.readContexts()
	if err != nil {
		return "", contextEntry{}, err
	}
	name := p.global.context
	if name == "" {
		name = p.getenv("FLEETCTL_CONTEXT")
	}
	if name == "" {
		name = file.Current
		return name, file.Contexts[name], nil
	}
	entry, ok := file.Contexts[name]
	if !ok {
		return "", contextEntry{}, unknownContext(name, file)
	}
	return name, entry, nil
}

func unknownContext(name string, file contextsFile) error {
	known := slices.Sorted(maps.Keys(file.Contexts))
	if len(known) == 0 {
		return usagef(`there is no context %q and no other one; make it with "fleetctl context set %s --server URL --token-file FILE"`, name, name)
	}
	return usagef("there is no context %q; there are %s", name, strings.Join(known, ", "))
}

func sameServer(a, b string) bool {
	return b != "" && strings.TrimRight(a, "/") == strings.TrimRight(b, "/")
}
