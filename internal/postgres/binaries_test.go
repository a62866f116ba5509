package postgres

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseMajor(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": 15,
		"postgres (PostgreSQL) 9.6.24\n":                         9,
		"postgres (PostgreSQL) 18beta1\n":                        18,
		"postgres (PostgreSQL) 19devel\n":                        19,
		"postgres (EnterpriseDB) 15\n":                           0,
		"":                                                       0,
	} {
		major, ok := parseMajor(text)
		require.Equal(t, want, major, text)
		require.Equal(t, want != 0, ok, text)
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	old, older, newer := binaries{"/old", 15}, binaries{"/older", 12}, binaries{"/newer", 17}
	tests := map[string]struct {
		found []binaries
		major int
		want  binaries
		err   string
	}{
		"a new database takes the first":             {found: []binaries{old, newer}, want: old},
		"a new database passes over one too old":     {found: []binaries{older, newer}, want: newer},
		"a database takes the version that made it":  {found: []binaries{newer, old}, major: 15, want: old},
		"even a version that is too old to start on": {found: []binaries{newer, older}, major: 12, want: older},
		"nothing installed":                          {err: "PostgreSQL is not installed: install it (`"},
		"nothing installed for a database":           {major: 16, err: "the database in /data needs version 16 of it"},
		"only one that is too old":                   {found: []binaries{older}, err: "too old (12 in /older; 14 or newer is needed)"},
		"none of the version that made it": {
			found: []binaries{old, newer}, major: 16,
			err: "the database in /data was made by PostgreSQL 16, and installed is 15 in /old, 17 in /newer: install PostgreSQL 16 beside it, or",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := choose(test.found, "/data", test.major)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

// program writes an executable that prints text.
func program(t *testing.T, dir, name, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	script := "#!/bin/sh\necho '" + text + "'\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
}

func TestInspect(t *testing.T) {
	t.Parallel()
	const version = "postgres (PostgreSQL) 16.2"
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	whole, half, broken, links := filepath.Join(root, "whole"), filepath.Join(root, "half"), filepath.Join(root, "broken"), filepath.Join(root, "links")
	program(t, whole, "postgres", version)
	program(t, whole, "initdb", "")
	program(t, half, "postgres", version)
	program(t, broken, "postgres", "what?")
	program(t, broken, "initdb", "")
	require.NoError(t, os.Mkdir(links, 0o755))
	require.NoError(t, os.Symlink(filepath.Join(whole, "postgres"), filepath.Join(links, "postgres")))

	for dir, want := range map[string]binaries{
		whole: {whole, 16},
		links: {whole, 16}, // followed, or initdb would be missing
	} {
		b, ok, err := inspect(t.Context(), dir)
		require.NoError(t, err)
		require.True(t, ok, dir)
		require.Equal(t, want, b)
	}
	for _, dir := range []string{half, broken, filepath.Join(root, "nowhere"), "relative", ""} {
		_, ok, err := inspect(t.Context(), dir)
		require.NoError(t, err)
		require.False(t, ok, dir)
	}
}

func TestReadMajor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	major, err := readMajor(dir)
	require.NoError(t, err)
	require.Zero(t, major)

	file := filepath.Join(dir, "PG_VERSION")
	require.NoError(t, os.WriteFile(file, []byte("16\n"), 0o600))
	major, err = readMajor(dir)
	require.NoError(t, err)
	require.Equal(t, 16, major)

	require.NoError(t, os.WriteFile(file, []byte("sixteen\n"), 0o600))
	_, err = readMajor(dir)
	require.ErrorContains(t, err, "move the folder")
}

func TestInstallCommand(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"NAME=\"Debian GNU/Linux\"\nID=debian\n":         "sudo apt-get install -y postgresql",
		"ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n":      "sudo apt-get install -y postgresql",
		"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n": "sudo dnf install -y postgresql-server",
		"ID=alpine\n": "apk add postgresql",
		"ID=arch\n":   "sudo pacman -S postgresql",
		"ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"": "sudo zypper install postgresql-server",
		"ID=other\n": "the package manager's postgresql server package",
	} {
		file := filepath.Join(t.TempDir(), "os-release")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		require.Equal(t, want, installCommandFor(osRelease(file)), text)
	}
	require.Empty(t, osRelease(filepath.Join(t.TempDir(), "nowhere")))
}
