package migrations

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverVersion is the version of River's main line that step 00001 brings. It is
// pinned so that the step means the same for ever; a newer River gets a step of
// its own.
const riverVersion = 8

// riverMigration is step 00001. Unlike the SQL steps it is not one transaction: each
// of River's versions needs its own, because Postgres does not let a new value of
// an enum be used by the transaction that added it. A crash in between is harmless.
// River keeps its own record, and the step, done again, goes on where it ended.
func riverMigration(cfg *pgxpool.Config) *goose.Migration {
	return goose.NewGoMigration(1,
		&goose.GoFunc{RunDB: func(ctx context.Context, _ *sql.DB) error {
			return migrateRiver(ctx, cfg, rivermigrate.DirectionUp, riverVersion)
		}},
		&goose.GoFunc{RunDB: func(ctx context.Context, _ *sql.DB) error {
			return migrateRiver(ctx, cfg, rivermigrate.DirectionDown, -1) // -1: remove all of it
		}},
	)
}

// migrateRiver moves River's schema to target. River speaks pgx alone, so it gets a
// pool of its own for the moment.
func migrateRiver(ctx context.Context, cfg *pgxpool.Config, direction rivermigrate.Direction, target int) error {
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("connect to migrate River's schema: %w", err)
	}
	defer pool.Close()
	migrator, err := riverMigrator(pool)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, direction, &rivermigrate.MigrateOpts{TargetVersion: target}); err != nil {
		return fmt.Errorf("migrate River's schema %s: %w", direction, err)
	}
	return nil
}

func riverMigrator(pool *pgxpool.Pool) (*rivermigrate.Migrator[pgx.Tx], error) {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return nil, fmt.Errorf("read River's migrations: %w", err)
	}
	return migrator, nil
}
