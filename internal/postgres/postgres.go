package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// startTimeout bounds Start where its context does not. Recovery after a crash
// replays up to max_wal_size of changes, which takes a slow disk a minute.
const startTimeout = 3 * time.Minute

// maxLog is the size in bytes from which the server's log is begun anew at a start.
const maxLog = 10 << 20

// Config says where a private server lives.
type Config struct {
	// DataDir is the folder that the database is kept in, in a sub-folder postgres.
	// It is made when it does not exist. Required.
	DataDir string
	// Ephemeral gives up durability for speed: what is written may be lost with the
	// machine's power. For tests only. A folder is opened the way its first opener
	// asked for.
	Ephemeral bool
	// Logger gets what happens to the server. Nil means silence.
	Logger *slog.Logger
}

// Server is a private PostgreSQL server that is up, or being brought up again, until
// Stop. Its methods are safe for concurrent use.
type Server struct {
	cfg     Config
	log     *slog.Logger
	root    string // DataDir/postgres
	data    string // the cluster
	account *account

	cancel context.CancelFunc // ends keep
	kept   chan struct{}      // closed when keep has ended

	mu     sync.Mutex
	child  *child // nil: the server belongs to another process
	pid    int
	socket string // the folder of the socket
}

// Start joins the server that runs in the data folder, or starts one, making the
// database on first use. It returns when the database takes connections, in about
// a second at first and a fraction of one later.
//
// ctx bounds the start only. The errors name what to do: *NotInstalledError,
// *VersionError (nothing was changed), a folder that cannot be used.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.DataDir == "" {
		return nil, errors.New("a private database needs a folder: give one with --data-dir")
	}
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("find the data folder: %w", err)
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	root := filepath.Join(dir, "postgres")
	s := &Server{cfg: cfg, log: log, root: root, data: filepath.Join(root, "data"), kept: make(chan struct{})}
	if s.account, err = serverAccount(s.data); err != nil {
		return nil, err
	}
	if err := s.account.openFolder(dir, root); err != nil {
		return nil, err
	}
	ctx, done := context.WithTimeout(ctx, startTimeout)
	defer done()
	if err := s.up(ctx); err != nil {
		return nil, err
	}
	keepCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	go s.keep(keepCtx)
	return s, nil
}

// URL is the connection string of the database, for pgx, psql and pg_dump alike. It
// stays the same for as long as the data folder does, and holds no secret.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return socketURL(s.socket, databaseName)
}

// Owned reports whether this process started the server, and so ends it, rather
// than joined one. It turns true when the server's owner ended and this process
// took over.
func (s *Server) Owned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.child != nil
}

// Stop ends the server if this process owns it, and leaves it alone otherwise.
// Everything is written before it returns nil; when ctx ends first the server is
// ended at once, which is an error but loses no committed data. Processes that
// had joined it start it again. Stop may be called once.
func (s *Server) Stop(ctx context.Context) error {
	s.cancel()
	<-s.kept
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return nil
	}
	err := s.child.end(ctx)
	if filepath.Dir(s.socket) != s.root {
		_ = os.Remove(s.socket) // the short temporary one; empty unless another process is at it already
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "private database stopped", slog.String("data_dir", s.data))
	return err
}

// keep brings the server up again whenever it ended, until ctx ends.
func (s *Server) keep(ctx context.Context) {
	defer close(s.kept)
	for s.waitEnd(ctx) {
		s.log.LogAttrs(ctx, slog.LevelWarn, "private database ended; starting it again", slog.String("data_dir", s.data))
		for {
			err := s.up(ctx)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return
			}
			s.log.LogAttrs(ctx, slog.LevelError, "private database does not start; trying again", slog.Any("error", err))
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	}
}

// waitEnd waits for the server to end and reports false when ctx ended first.
func (s *Server) waitEnd(ctx context.Context) bool {
	s.mu.Lock()
	c, pid := s.child, s.pid
	s.mu.Unlock()
	if c != nil {
		return c.wait(ctx)
	}
	for alive(pid) {
		if pause(ctx) != nil {
			return false
		}
	}
	return ctx.Err() == nil
}

// up joins the running server or starts one. Starters take turns by the lock.
func (s *Server) up(ctx context.Context) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	for {
		pm, ok, err := readPostmaster(s.data)
		if err != nil {
			return err
		}
		if !ok {
			return s.start(ctx)
		}
		if pm.ready {
			// It may be shutting down, which the file does not say: then this fails until
			// it has ended.
			if err = ensureDatabase(ctx, pm.socket); err == nil {
				s.set(nil, pm.pid, pm.socket)
				s.log.LogAttrs(ctx, slog.LevelInfo, "private database joined", slog.String("data_dir", s.data), slog.Int("pid", pm.pid))
				return nil
			}
		}
		if pause(ctx) != nil {
			return fmt.Errorf("a PostgreSQL server (process %d) in %s neither took connections nor ended; see %s: %w",
				pm.pid, s.data, s.logPath(), errors.Join(err, context.Cause(ctx)))
		}
	}
}

// start starts a server in a folder in which none runs. The caller holds the lock.
func (s *Server) start(ctx context.Context) error {
	began := time.Now()
	major, err := readMajor(s.data)
	if err != nil {
		return err
	}
	found, err := findBinaries(ctx)
	if err != nil {
		return err
	}
	b, err := choose(found, s.data, major)
	if err != nil {
		return err
	}
	if err := s.account.reach(ctx, b, s.root); err != nil {
		return err
	}
	if major == 0 {
		if err := s.initCluster(ctx, b); err != nil {
			return err
		}
	}
	if err := dropStalePidFile(s.data); err != nil {
		return err
	}
	socket, err := s.socketDir()
	if err != nil {
		return err
	}
	logFile, err := s.openLog()
	if err != nil {
		return err
	}
	defer logFile.Close()
	from, err := logFile.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("open the database's log: %w", err)
	}
	args := []string{"-D", s.data}
	for _, setting := range s.settings(socket) {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(filepath.Join(b.dir, "postgres"), args...) //nolint:noctx // it lives longer than ctx, which bounds the start
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.root, environment(), s.account.attr()
	cmd.Stdout, cmd.Stderr = logFile, logFile
	c, err := spawn(cmd)
	if err != nil {
		return err
	}
	if err := s.waitReady(ctx, c, socket, from); err != nil {
		_ = c.end(ctx) // the reason it did not start says more
		return err
	}
	s.set(c, c.cmd.Process.Pid, socket)
	s.log.LogAttrs(ctx, slog.LevelInfo, "private database started",
		slog.String("data_dir", s.data), slog.Int("pid", c.cmd.Process.Pid), slog.Int("major", b.major),
		slog.Bool("new", major == 0), slog.Duration("took", time.Since(began)))
	return nil
}

// waitReady waits until the child takes connections, and fails when it ends first.
func (s *Server) waitReady(ctx context.Context, c *child, socket string, logFrom int64) error {
	for {
		if c.ended() {
			return fmt.Errorf("PostgreSQL ended while starting in %s: %w: %s", s.data, c.err, s.logTail(logFrom))
		}
		pm, ok, err := readPostmaster(s.data)
		if err == nil && ok && pm.ready {
			if err = ensureDatabase(ctx, socket); err == nil {
				return nil
			}
		}
		if pause(ctx) != nil {
			return fmt.Errorf("PostgreSQL in %s does not take connections: %w: %s", s.data, errors.Join(err, context.Cause(ctx)), s.logTail(logFrom))
		}
	}
}

func (s *Server) set(c *child, pid int, socket string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.child, s.pid, s.socket = c, pid, socket
}

func (s *Server) logPath() string { return filepath.Join(s.root, "postgres.log") }

// openLog opens the server's log to be added to, emptied when it has grown large.
func (s *Server) openLog() (*os.File, error) {
	flags := os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(s.logPath()); err == nil && info.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	f, err := s.account.openFile(s.logPath(), flags)
	if err != nil {
		return nil, fmt.Errorf("open the database's log: %w", err)
	}
	return f, nil
}

// logTail is what the server said last, since the log was from bytes long.
func (s *Server) logTail(from int64) string {
	f, err := os.Open(s.logPath())
	if err != nil {
		return "see " + s.logPath()
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, from, 64<<10))
	if err != nil || len(text) == 0 {
		return "see " + s.logPath()
	}
	return lastLines(text, 4)
}
