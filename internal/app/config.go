package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"fleetd/internal/fleet"
	"fleetd/internal/schedule"
	"fleetd/internal/store"
)

// Config is what fleetd is run with. Default fills in what is zero.
type Config struct {
	// DatabaseURL is the Postgres to work with, as a URL or keywords; empty: a
	// private one in DataDir.
	DatabaseURL string
	// DataDir keeps the private Postgres and, where no file is named, the encryption key.
	DataDir string
	// Listen is the address of the HTTP API.
	Listen string
	// EncryptionKeyFile holds 32 bytes in base64; empty: a file in DataDir that is
	// made on first use.
	EncryptionKeyFile string
	// MaxInFlight is how many targets of one account this process has under way at once, 1 to
	// 10,000.
	MaxInFlight int
	// AuditSchedule is when audits of accounts without a schedule of their own begin: a
	// cron expression of five fields in AuditTimezone (empty: UTC). Empty: never.
	AuditSchedule string
	AuditTimezone string
	// SNSCertOrigin is one more place that certificates of event messages may be at, such
	// as http://127.0.0.1:8090 for a simulator, and SNSCAFile what they must chain to
	// there (PEM). Both or neither; certificates of Amazon's hosts chain to the system's
	// roots.
	SNSCertOrigin string
	SNSCAFile     string
	// NoMigrate refuses to start on an old database instead of migrating it.
	NoMigrate bool
	// ShutdownTimeout is how long work under way is waited for when stopping.
	ShutdownTimeout time.Duration
	// Version is what /api/v1/version says.
	Version string
	// Logger gets everything; nil: silence.
	Logger *slog.Logger
}

// The defaults of Config.
const (
	DefaultListen          = "127.0.0.1:8080"
	DefaultDataDir         = ".data"
	DefaultMaxInFlight     = 1000
	DefaultShutdownTimeout = 20 * time.Second
)

// Default fills in what is zero.
func (c Config) Default() Config {
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	if c.DataDir == "" {
		c.DataDir = DefaultDataDir
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = DefaultMaxInFlight
	}
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = DefaultShutdownTimeout
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate checks what can be checked without touching anything.
func (c Config) Validate() error {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fleet.Invalidf("--listen", "%q is no address: use host:port, such as %s", c.Listen, DefaultListen)
	}
	if c.MaxInFlight < 1 || c.MaxInFlight > 10_000 {
		return fleet.Invalidf("--max-in-flight", "%d is out of range: use 1 to 10000", c.MaxInFlight)
	}
	if c.ShutdownTimeout < 0 {
		return fleet.Invalidf("--shutdown-timeout", "%v is negative: use a duration such as 20s", c.ShutdownTimeout)
	}
	if err := c.validateAudits(); err != nil {
		return err
	}
	if err := c.validateSNS(); err != nil {
		return err
	}
	if c.DatabaseURL == "" {
		return nil
	}
	if _, err := pgxpool.ParseConfig(c.DatabaseURL); err != nil {
		// The parser's error repeats the URL, and with it a password.
		return fleet.Invalidf("--database-url", "it cannot be read as a Postgres address: use postgres://user@host:5432/database?sslmode=require")
	}
	return nil
}

// validateAudits reads the schedule as it will be read, and names the flag.
func (c Config) validateAudits() error {
	expr := c.AuditSchedule
	if expr == "" {
		expr = "0 0 * * *" // the time zone is checked all the same
	}
	_, err := schedule.Parse(expr, c.AuditTimezone)
	if known := new(fleet.Error); errors.As(err, &known) {
		flag := "--audit-schedule"
		if known.Field == "timezone" {
			flag = "--audit-timezone"
		}
		return fleet.Invalidf(flag, "%s", known.Message)
	}
	return err
}

func (c Config) auditDefault() store.AuditDefault {
	return store.AuditDefault{Cron: c.AuditSchedule, Timezone: c.AuditTimezone}
}

func (c Config) keyFile() string {
	if c.EncryptionKeyFile != "" {
		return c.EncryptionKeyFile
	}
	return filepath.Join(c.DataDir, "encryption.key")
}

// databaseError says which database did not work and how to mend it, without the
// password that its URL may hold.
func databaseError(databaseURL string, err error) error {
	where := "the private database"
	if cfg, parseErr := pgxpool.ParseConfig(databaseURL); parseErr == nil {
		where = fmt.Sprintf("database %q at %s:%d as user %q", cfg.ConnConfig.Database, cfg.ConnConfig.Host, cfg.ConnConfig.Port, cfg.ConnConfig.User)
	}
	var known *fleet.Error
	if errors.As(err, &known) && known.Err != nil {
		err = known.Err
	}
	return &fleet.Error{
		Code: fleet.CodeUnavailable, Field: "--database-url", Err: err,
		Message: where + " cannot be used: check the address, the user and the password, and that Postgres runs there",
	}
}
