package database

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// migrations has one file for each version of the schema, from 001 on. They are never changed once they are released,
// and only add to what programs of the version before use, unless least says else.
//
//go:embed migrations/*.sql
var migrations embed.FS

// Lock is the key of the advisory lock under which the schema changes: "mailhatc" in ASCII.
const Lock = 0x6d61696c68617463

// Schema is the state of a database's schema.
type Schema struct {
	Version int // 0: there is none
	Least   int // version that a program has to know at least to work with it
	Own     int // version that this program knows
	Before  int // Version before this program changed it
}

// ErrSchema is why a program cannot work with a schema.
var ErrSchema = errors.New("the schema of the database does not suit this program")

// step is a change of the schema.
type step struct {
	number int
	text   string
	least  int // version that a program has to know to work with what it makes
}

// steps returns all changes. A program works with the schema that follows its own, so that gateways can be replaced one
// by one, unless a row of exceptions says that it cannot.
func steps(exceptions map[int]int) (list []step, err error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	for i, name := range names { // sorted by name, which is a number
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		s := step{number: i + 1, text: string(text), least: max(i, 1)}
		if least, ok := exceptions[s.number]; ok {
			s.least = least
		}
		if want := fmt.Sprintf("migrations/%03d.sql", s.number); name != want {
			return nil, fmt.Errorf("%s stands where %s should", name, want)
		}
		list = append(list, s)
	}
	return list, nil
}

// exceptions are the versions that older programs cannot work with, and what they have to know.
func exceptions() map[int]int { return map[int]int{} }

// Migrate brings the schema to the version of this program, if it is older, and checks that the program can work with
// it. Several may do so at once. first are tables that belong to the first version, too.
func Migrate(ctx context.Context, conn *pgx.Conn, first string) (Schema, error) {
	list, err := steps(exceptions())
	if err != nil {
		return Schema{}, err
	}
	list[0].text += first
	return migrate(ctx, conn, list)
}

// Update is Migrate for who has a connection of Open's: what is to be changed, if there is anything, is changed on one of its
// own, on which that may take long.
func Update(ctx context.Context, conn *pgx.Conn, url, first string) (Schema, error) {
	s, err := Check(ctx, conn)
	if s.Before = s.Version; err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && s.Version >= s.Own {
		return s, err
	}
	own, err := Connect(ctx, url)
	if err != nil {
		return s, err
	}
	defer own.Close(context.WithoutCancel(ctx)) //nolint:errcheck // all is committed
	return Migrate(ctx, own, first)
}

func migrate(ctx context.Context, conn *pgx.Conn, list []step) (s Schema, err error) {
	s.Own = len(list)
	if err := s.read(ctx, conn); err != nil {
		return s, err
	}
	s.Before = s.Version
	for s.Version < s.Own && err == nil {
		err = s.next(ctx, conn, list)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == insufficientPrivilege {
		if s.Version >= 1 && s.Version == s.Own-1 { // the schema that comes before suits, too
			return s, nil
		}
		return s, fmt.Errorf("%w: it has version %d and this program needs %d, but its account may not change it (%s): run `mailhatch migrate` with an account that may",
			ErrSchema, s.Version, s.Own, pg.Message)
	}
	if err != nil {
		return s, fmt.Errorf("schema version %d: %w", s.Version+1, err)
	}
	if s.Version > s.Own && s.Least > s.Own {
		return s, s.tooNew()
	}
	return s, nil
}

// Check returns the schema of a database that is only read. The error wraps fs.ErrNotExist where there is none.
func Check(ctx context.Context, conn *pgx.Conn) (s Schema, err error) {
	list, err := steps(exceptions())
	if err != nil {
		return s, err
	}
	s.Own = len(list)
	if err := s.read(ctx, conn); err != nil {
		return s, err
	}
	switch {
	case s.Version == 0:
		return s, fmt.Errorf("the database has no queue: %w", fs.ErrNotExist)
	case s.Version > s.Own && s.Least > s.Own:
		return s, s.tooNew()
	}
	return s, nil
}

func (s *Schema) tooNew() error {
	return fmt.Errorf("%w: it has version %d, this program knows %d: use the mailhatch that made it, or a newer one", ErrSchema, s.Version, s.Own)
}

// next makes the next change, unless another gateway has made it meanwhile.
func (s *Schema) next(ctx context.Context, conn *pgx.Conn, list []step) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(Lock)); err != nil {
			return err
		}
		// The lock is waited for by a statement of its own: the next one sees what was committed meanwhile.
		if err := s.read(ctx, tx); err != nil || s.Version >= s.Own {
			return err
		}
		change := list[s.Version]
		if _, err := tx.Exec(ctx, "SELECT set_config('statement_timeout', '0', true)"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, change.text, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		if s.Version == 0 {
			if _, err := tx.Exec(ctx, "CREATE TABLE schema_version (version int PRIMARY KEY, least int NOT NULL, at bigint NOT NULL)"); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "INSERT INTO schema_version VALUES ($1, $2, $3)", change.number, change.least, time.Now().UnixMilli())
		if err == nil {
			s.Version, s.Least = change.number, change.least
		}
		return err
	})
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// HasTable reports whether there is a table of a name. It reads the catalogue: to_regclass would look into a cache, which does
// not hear of what others have committed while the transaction waited for a lock.
const HasTable = "SELECT EXISTS (SELECT FROM pg_class WHERE relname = $1 AND relnamespace = ANY (SELECT oid FROM pg_namespace WHERE nspname = ANY(current_schemas(false))))"

// read finds out the version of the schema.
func (s *Schema) read(ctx context.Context, q querier) error {
	s.Version, s.Least = 0, 0
	var there bool
	if err := q.QueryRow(ctx, HasTable, "schema_version").Scan(&there); err != nil || !there {
		return err
	}
	return q.QueryRow(ctx, "SELECT coalesce(max(version), 0), coalesce(max(least), 0) FROM schema_version").Scan(&s.Version, &s.Least)
}
