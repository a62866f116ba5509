package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxSocketDir is the longest folder for a socket, in bytes: the address of a Unix
// socket holds 104 bytes on macOS and 108 on Linux with a zero at the end, and the
// socket's name is "/.s.PGSQL.5432".
const maxSocketDir = 103 - len("/.s.PGSQL.5432")

// socketURL is the connection string of a database behind the socket in dir. The
// port is named so that PGPORT in the environment does not matter.
func socketURL(dir, database string) string {
	// PostgreSQL takes a plus sign for what it is, not for a space.
	query := strings.ReplaceAll(url.Values{"host": {dir}, "port": {"5432"}}.Encode(), "+", "%20")
	u := url.URL{Scheme: "postgres", User: url.User(databaseName), Path: "/" + database, RawQuery: query}
	return u.String()
}

// socketDir makes sure of the folder for the socket: run in the database folder, or
// a short temporary one, whose name is kept so that every start has the same URL.
func (s *Server) socketDir() (string, error) {
	dir := filepath.Join(s.root, "run")
	if len(dir) <= maxSocketDir {
		return dir, s.account.mkdir(dir)
	}
	note := filepath.Join(s.root, "socket")
	if text, err := os.ReadFile(note); err == nil {
		if dir := strings.TrimSpace(string(text)); s.reuse(dir) {
			return dir, nil
		}
	}
	dir, err := shortTempDir()
	if err != nil {
		return "", err
	}
	if err := s.account.mkdir(dir); err != nil {
		return "", err
	}
	return dir, s.keepNote(note, dir)
}

// keepNote writes down where the socket is.
func (s *Server) keepNote(path, dir string) error {
	f, err := s.account.openFile(path, os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("keep the name of the socket's folder: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(dir + "\n"); err != nil {
		return fmt.Errorf("keep the name of the socket's folder: %w", err)
	}
	return nil
}

// reuse makes dir again, or takes it as it is when it is the server's own and
// closed to others: anybody may have made a folder of that name in /tmp meanwhile.
func (s *Server) reuse(dir string) bool {
	if !filepath.IsAbs(dir) || len(dir) > maxSocketDir {
		return false
	}
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return s.account.mkdir(dir) == nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return false
	}
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		return false
	}
	owner := os.Geteuid()
	if s.account != nil {
		owner = int(s.account.uid)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == owner
}

// shortTempDir makes a folder in the system's temporary folder, or in /tmp where
// the name of that one is too long itself.
func shortTempDir() (string, error) {
	dir, err := os.MkdirTemp("", "fleetd-")
	if err == nil && len(dir) > maxSocketDir {
		_ = os.Remove(dir)
		dir, err = os.MkdirTemp("/tmp", "fleetd-")
	}
	if err != nil {
		return "", fmt.Errorf("make a folder for the database's socket: %w", err)
	}
	return dir, nil
}
