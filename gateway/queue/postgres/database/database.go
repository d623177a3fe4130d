// Package database has the connections to PostgreSQL, the schema, and what the server's errors mean.
package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"mailhatch/gateway/queue"
)

const (
	connectTime = 5 * time.Second
	maxConns    = 11 // of a gateway beside the one that listens, unless pool_max_conns of the URL says else
	// idleConn is how long a connection is kept without use, unless pool_max_conn_idle_time says else. It is less than a minute,
	// within which the pool hands out each of its connections once.
	idleConn = 30 * time.Second
	// StatementTime is how long the server may work on one statement.
	StatementTime = 30 * time.Second
	idleTime      = 60 * time.Second // how long a transaction may wait for its client
)

// Open connects to the database of a URL (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING).
// No connection is made before one is needed, and no answer is waited for longer than answerTime. Nothing in it depends on the
// session, so that a pgbouncer in transaction mode can stand between: statements are not named, and what is set for a connection
// is a bound and nothing more.
func Open(ctx context.Context, url string) (*pgxpool.Pool, error) {
	c, err := config(url)
	if err != nil {
		return nil, err
	}
	return pgxpool.NewWithConfig(ctx, c)
}

func config(url string) (*pgxpool.Config, error) {
	if url == "" {
		return nil, errors.New("it is missing")
	}
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err // it hides the password
	}
	if !strings.Contains(url, "pool_max_conns") {
		c.MaxConns = maxConns
	}
	if !strings.Contains(url, "pool_max_conn_idle_time") {
		c.MaxConnIdleTime = idleConn
	}
	c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	c.ConnConfig.StatementCacheCapacity = 0
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = connectTime
	}
	c.ConnConfig.DialFunc = dial(c.ConnConfig.DialFunc, answerTime)
	c.AfterConnect = prepare
	return c, nil
}

// Connect makes one connection on which statements may take as long as they take: to change the schema.
func Connect(ctx context.Context, url string) (*pgx.Conn, error) {
	c, err := config(url)
	if err != nil {
		return nil, err
	}
	plain, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	c.ConnConfig.DialFunc = plain.ConnConfig.DialFunc
	conn, err := pgx.ConnectConfig(ctx, c.ConnConfig)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}

// prepare refuses a connection that promises less than what a 250 means: with synchronous_commit off, the server
// acknowledges what it has not written yet, and with local, what no standby has, where it is told to wait for one.
//
// Statements here touch few rows each. Where statistics are missing, the server takes some for large and compiles them (jit),
// which takes 35 ms each time.
func prepare(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	_, err := conn.Exec(ctx, fmt.Sprintf("SET statement_timeout = %d; SET idle_in_transaction_session_timeout = %d; SET lock_timeout = 0; SET jit = off",
		StatementTime.Milliseconds(), idleTime.Milliseconds()), pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return err
	}
	var commit string
	if err := conn.QueryRow(ctx, "SELECT current_setting('synchronous_commit')").Scan(&commit); err != nil {
		return err
	}
	if commit == "off" || commit == "local" {
		return fmt.Errorf("%w: it is %s", ErrCommit, commit)
	}
	return nil
}

// ErrCommit is why a server is not used that acknowledges what it may lose.
var ErrCommit = errors.New("synchronous_commit of the database must be on (ALTER DATABASE … SET synchronous_commit = on): " +
	"mail is acknowledged when the database has it on stable storage")

// SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html).
const (
	insufficientPrivilege = "42501"
	diskFull              = "53100"
	checkViolation        = "23514" // no partition takes the row
	deadlock              = "40P01"
	serialization         = "40001"
	readOnly              = "25006"
	lockNotAvailable      = "55P03"
	objectInUse           = "55006"
)

// code returns the SQLSTATE of an error; "" where it is not the server's.
func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// failure is an error that Describe has made.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// Describe makes the queue's error of one of the server's or of the connection.
func Describe(err error) error {
	var f failure
	switch {
	case err == nil, errors.As(err, &f), errors.Is(err, queue.ErrFenced), errors.Is(err, queue.ErrNotFound), errors.Is(err, queue.ErrClosed), errors.Is(err, queue.ErrAway):
		return err
	case code(err) == diskFull:
		return fmt.Errorf("%w: the database says %w", queue.ErrFull, err)
	case IsAway(err) && errors.Is(err, fs.ErrNotExist): // a server's socket, which is not there: the queue may be
		return fmt.Errorf("%w: %v", queue.ErrAway, err)
	case IsAway(err):
		return fmt.Errorf("%w: %w", queue.ErrAway, err)
	case code(err) == insufficientPrivilege:
		return failure{fmt.Errorf("queue: postgres: %w: the account of the database's URL needs more rights: it should own the tables of the queue", err)}
	}
	return failure{fmt.Errorf("queue: postgres: %w", err)}
}

// IsAway reports whether the server could not be asked, or does not take changes now; later it may.
func IsAway(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		class := pg.Code[:min(2, len(pg.Code))]
		return class == "08" || class == "57" || class == "53" || pg.Code == readOnly
	}
	var net net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.As(err, &net) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, pgconn.ErrConnClosed) || pgconn.SafeToRetry(err)
}

// lost is an error after which nobody knows whether a transaction was committed.
type lost struct{ error }

func (l lost) Unwrap() error { return l.error }

// IsUnknown reports whether a change that failed with err may have been committed all the same: the server was asked for
// it, and has not said no.
func IsUnknown(err error) bool {
	var l lost
	return errors.As(err, &l)
}

// asked judges the answer to a COMMIT.
func asked(err error) error {
	if err == nil || pgconn.SafeToRetry(err) || errors.Is(err, pgx.ErrTxCommitRollback) {
		return err
	}
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	if errors.As(err, &connect) || errors.As(err, &pg) && pg.Severity == "ERROR" {
		return err
	}
	return lost{err} // the server goes down, or the connection broke
}

// Once runs a transaction.
func Once(ctx context.Context, pool *pgxpool.Pool, do func(tx pgx.Tx) error) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback(context.WithoutCancel(ctx)) // a connection that cannot is closed
		return err
	}
	return asked(tx.Commit(ctx))
}

// Send runs the statements of a batch as one transaction.
func Send(ctx context.Context, pool *pgxpool.Pool, b *pgx.Batch) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return asked(conn.SendBatch(ctx, b).Close())
}

// IsPassing reports whether a transaction that was undone may well succeed when it is repeated at once.
func IsPassing(err error) bool { c := code(err); return c == deadlock || c == serialization }

// IsPartitionMissing reports whether no partition takes a row.
func IsPartitionMissing(err error) bool { return code(err) == checkViolation }

// IsBusy reports whether a lock was not to be had in time.
func IsBusy(err error) bool { c := code(err); return c == lockNotAvailable || c == objectInUse }

// Now is the expression of the database's time in milliseconds. Leases count by it: the clocks of gateways may differ.
const Now = "(extract(epoch from clock_timestamp()) * 1000)::bigint"

// Text is a text as a column takes it: valid, and without NUL, which PostgreSQL does not take.
func Text(s string) string {
	if !strings.Contains(s, "\x00") {
		return strings.ToValidUTF8(s, "�")
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "�"), "�")
}

// Pauses is the channel (NOTIFY) on which gateways hear that a lane was paused or resumed.
const Pauses = "mailhatch_pauses"

// Change runs a transaction, again if it was undone for what may pass.
func Change(ctx context.Context, pool *pgxpool.Pool, do func(tx pgx.Tx) error) (err error) {
	for range 5 {
		if err = Once(ctx, pool, do); !IsPassing(err) {
			break
		}
	}
	return Describe(err)
}
