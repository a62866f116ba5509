package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// databaseName is the name of the database and of the role that owns it.
const databaseName = "fleetd"

// initCluster makes the database cluster in s.data. It works beside it and moves
// the result into place, so that one killed half-way leaves nothing that looks like
// a database.
func (s *Server) initCluster(ctx context.Context, b binaries) error {
	left, err := filepath.Glob(filepath.Join(s.root, "init-*"))
	if err != nil {
		return fmt.Errorf("look for left-over folders: %w", err)
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove a half-made database: %w", err)
		}
	}
	tmp, err := os.MkdirTemp(s.root, "init-")
	if err != nil {
		return fmt.Errorf("make the database folder: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := s.account.mkdir(tmp); err != nil {
		return err
	}
	args := []string{
		"-D", tmp, "-U", databaseName, "--encoding=UTF8", "--locale=C", "--no-instructions",
		// Only the socket exists, and only its owner reaches it.
		"--auth-local=trust", "--auth-host=reject",
	}
	if s.cfg.Ephemeral {
		args = append(args, "--no-sync")
	} else {
		args = append(args, "--data-checksums")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(b.dir, "initdb"), args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.root, environment(), s.account.attr()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make the database with %s: %w: %s", cmd.Path, err, lastLines(out, 3))
	}
	if err := os.Rename(tmp, s.data); err != nil {
		if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("the folder %s is not empty and holds no database: move it away to start with an empty database", s.data)
		}
		return fmt.Errorf("put the new database in its place: %w", err)
	}
	if s.cfg.Ephemeral {
		return nil
	}
	return syncFolder(s.root)
}

// syncFolder makes a rename in dir last.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// settings are what the server is started with. They are given on the command line
// and not written to postgresql.conf, so that a newer fleetd brings newer ones and
// the file stays the operator's.
func (s *Server) settings(socketDir string) []string {
	settings := []string{
		"listen_addresses=",
		"port=5432", // part of the socket's name only
		// Quoted: the value is a list and a path may hold a comma.
		`unix_socket_directories="` + strings.ReplaceAll(socketDir, `"`, `""`) + `"`,
		"unix_socket_permissions=0700",
		"timezone=UTC",
		"log_timezone=UTC",
		"max_logical_replication_workers=0",
		"jit=off", // every query of ours is short; compiling them costs more than it gains

		// Errors go to fleetd as answers. The log is for what concerns the server, and
		// holds no statement and no value of a row.
		"log_min_messages=warning",
		"log_min_error_statement=panic",
		"log_error_verbosity=terse",

		// A queue updates the same few pages over and over: let vacuum keep up.
		"autovacuum_naptime=10s",
		"random_page_cost=1.1",
	}
	if s.cfg.Ephemeral {
		return append(settings,
			"fsync=off", "synchronous_commit=off", "full_page_writes=off",
			"max_connections=300", // tests run side by side, each with pools of its own
			"shared_buffers=64MB", "wal_level=minimal", "max_wal_senders=0",
		)
	}
	return append(settings,
		"max_connections=100",
		"shared_buffers=256MB",
		"work_mem=16MB",
		"maintenance_work_mem=128MB",
		// Few, spread-out checkpoints and small full-page images: a rollout rewrites
		// hot pages, which costs most right after a checkpoint.
		"max_wal_size=2GB",
		"checkpoint_timeout=15min",
		"wal_compression=on",
		// Nobody replicates a private database; a bulk load is then cheaper.
		"wal_level=minimal", "max_wal_senders=0",
	)
}

// ensureDatabase connects to the database behind the socket and makes it first if
// it is not there yet. The error of a server that is not ready passes through.
func ensureDatabase(ctx context.Context, socketDir string) error {
	err := ping(ctx, socketURL(socketDir, databaseName))
	if pgErr := new(pgconn.PgError); !errors.As(err, &pgErr) || pgErr.Code != "3D000" { // invalid_catalog_name
		return err
	}
	conn, err := pgx.Connect(ctx, socketURL(socketDir, "postgres"))
	if err != nil {
		return fmt.Errorf("connect to make the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+databaseName); err != nil {
		return fmt.Errorf("make the database: %w", err)
	}
	return nil
}

func ping(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to the private database: %w", err)
	}
	if err := conn.Close(ctx); err != nil {
		return fmt.Errorf("close the connection to the private database: %w", err)
	}
	return nil
}

// environment is ours without what would steer PostgreSQL's programs (PGDATA,
// PGPORT, PGOPTIONS and so on), and with messages in English.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "LANG") {
			env = append(env, kv)
		}
	}
	return append(env, "LC_ALL=C")
}

// lastLines is the last n lines of text on one line, for an error.
func lastLines(text []byte, n int) string {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte(" | ")))
}
