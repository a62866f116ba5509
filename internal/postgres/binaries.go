package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// minMajor is the oldest major version that fleetd's driver and River support.
const minMajor = 14

// binaries is one installed PostgreSQL.
type binaries struct {
	dir   string // holds postgres and initdb
	major int
}

// binaryGlobs are the folders that packages of PostgreSQL install to, none of
// which is on PATH by default on Debian, Ubuntu or Red Hat.
var binaryGlobs = []string{
	"/usr/lib/postgresql/*/bin",                               // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                        // Red Hat, packages of postgresql.org
	"/usr/libexec/postgresql*",                                // Alpine
	"/usr/lib/postgresql*/bin",                                // SUSE
	"/usr/local/pgsql/bin",                                    // built from source
	"/opt/homebrew/opt/postgresql*/bin",                       // Homebrew, Apple silicon
	"/usr/local/opt/postgresql*/bin",                          // Homebrew, Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",          // Homebrew, Linux
	"/Applications/Postgres.app/Contents/Versions/[0-9]*/bin", // Postgres.app
}

// findBinaries lists what is installed: PATH first, as an explicit choice, then
// the newest first.
func findBinaries(ctx context.Context) ([]binaries, error) {
	var found []binaries
	seen := map[string]bool{}
	add := func(dir string) error {
		b, ok, err := inspect(ctx, dir)
		if err != nil {
			return err
		}
		if ok && !seen[b.dir] {
			seen[b.dir] = true
			found = append(found, b)
		}
		return nil
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if err := add(dir); err != nil {
			return nil, err
		}
	}
	onPath := len(found)
	for _, pattern := range binaryGlobs {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("look for PostgreSQL in %s: %w", pattern, err)
		}
		for _, dir := range dirs {
			if err := add(dir); err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(found[onPath:], func(a, b binaries) int { return b.major - a.major })
	return found, nil
}

// inspect tells whether dir holds a PostgreSQL server, and which. Links are
// followed, because Homebrew and some images link each program by itself.
func inspect(ctx context.Context, dir string) (b binaries, ok bool, err error) {
	if !filepath.IsAbs(dir) || !executable(filepath.Join(dir, "postgres")) {
		return b, false, nil
	}
	if target, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil && executable(filepath.Join(filepath.Dir(target), "initdb")) {
		dir = filepath.Dir(target)
	}
	if !executable(filepath.Join(dir, "initdb")) {
		return b, false, nil
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "-V").Output()
	if ctx.Err() != nil {
		return b, false, fmt.Errorf("look for PostgreSQL: %w", ctx.Err())
	}
	if err != nil {
		return b, false, nil //nolint:nilerr // a broken installation is one that is not there; another may be
	}
	major, ok := parseMajor(string(out))
	return binaries{dir: dir, major: major}, ok, nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// parseMajor reads "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", also of
// a beta ("18beta1") or a build from source ("19devel").
func parseMajor(version string) (major int, ok bool) {
	m := versionPattern.FindStringSubmatch(version)
	if m == nil {
		return 0, false
	}
	major, err := strconv.Atoi(m[1])
	return major, err == nil
}

// choose picks the binaries for a cluster of the given major version, 0 for one
// that is yet to be made.
func choose(found []binaries, dir string, major int) (binaries, error) {
	if major != 0 {
		for _, b := range found {
			if b.major == major {
				return b, nil
			}
		}
		if len(found) == 0 {
			return binaries{}, &NotInstalledError{Install: installCommand(), Major: major, Dir: dir}
		}
		return binaries{}, &VersionError{Dir: dir, Major: major, Found: describe(found)}
	}
	for _, b := range found {
		if b.major >= minMajor {
			return b, nil
		}
	}
	return binaries{}, &NotInstalledError{Install: installCommand(), TooOld: describe(found)}
}

// describe lists installations for an error: "15 in /usr/lib/postgresql/15/bin".
func describe(found []binaries) string {
	parts := make([]string, 0, len(found))
	for _, b := range found {
		parts = append(parts, fmt.Sprintf("%d in %s", b.major, b.dir))
	}
	return strings.Join(parts, ", ")
}

// readMajor reads the major version of the cluster in dir; 0 when there is none.
func readMajor(dir string) (int, error) {
	path := filepath.Join(dir, "PG_VERSION")
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of the database folder: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || major <= 0 {
		return 0, fmt.Errorf("%s does not hold the version of a PostgreSQL database; move the folder %s away to start with an empty one", path, dir)
	}
	return major, nil
}
