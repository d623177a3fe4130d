package fleet

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue/postgres/database"
)

const (
	hearAgain = 2 * time.Second  // after a connection was lost, or could not be made
	hearCheck = 20 * time.Second // without a word before the connection is tried; package database takes a longer silence for its end
	hearTime  = 5 * time.Second  // for a statement
)

// Heard implements queue.Fleet.
func (f *Fleet) Heard() <-chan struct{} { return f.heard }

// Hear listens on a connection of its own until ctx ends. It returns early where a pooler stands between, such as pgbouncer, which
// gives a session of the server to others after each transaction: nothing can be heard there.
func (f *Fleet) Hear(ctx context.Context, connect func(context.Context) (*pgx.Conn, error)) {
	for ctx.Err() == nil {
		if conn, err := connect(ctx); err == nil {
			able := f.hearOn(ctx, conn)
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), hearTime)
			_ = conn.Close(closing) // it is not used any more
			cancel()
			if !able {
				return
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(hearAgain):
		}
	}
}

// hearOn listens until the connection breaks or ctx ends; able is false where nothing can be heard.
func (f *Fleet) hearOn(ctx context.Context, conn *pgx.Conn) (able bool) {
	if pid, err := f.session(ctx, conn); err != nil || pid != conn.PgConn().PID() {
		return err != nil
	}
	if !f.try(ctx, conn, "LISTEN "+database.Pauses) {
		return true
	}
	f.say() // what was said before
	for {
		waiting, cancel := context.WithTimeout(ctx, f.check)
		_, err := conn.WaitForNotification(waiting)
		quiet := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			f.say()
		case !quiet || !f.try(ctx, conn, "SELECT 1"):
			return true
		}
	}
}

// session returns the process of the server that answers.
func (f *Fleet) session(ctx context.Context, conn *pgx.Conn) (pid uint32, err error) {
	ctx, cancel := context.WithTimeout(ctx, hearTime)
	defer cancel()
	err = conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid)
	return pid, err
}

func (f *Fleet) try(ctx context.Context, conn *pgx.Conn, statement string) bool {
	ctx, cancel := context.WithTimeout(ctx, hearTime)
	defer cancel()
	_, err := conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol)
	return err == nil
}

func (f *Fleet) say() {
	select {
	case f.heard <- struct{}{}:
	default:
	}
}
