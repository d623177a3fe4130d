// Package feedback has the tables of what providers tell of mail later: how far their logs were taken in, what waits for
// the record of its recipient, and late bounces that no message reports yet.
package feedback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/postgres/history"
	"mailhatch/gateway/queue/postgres/suppress"
	"mailhatch/gateway/queue/told"
)

// DB is a pool of connections.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Desk is where the feedback of a store is.
type Desk struct {
	DB        DB
	Change    func(ctx context.Context, do func(pgx.Tx) error) error // may call do again, if it was undone
	History   *history.Keeper
	Receivers *Receivers
	Refused   *suppress.Register // addresses that get no mail
	Now       func() time.Time
}

var _ queue.Feedback = Desk{}

// Cursor implements queue.Feedback.
func (d Desk) Cursor(ctx context.Context, upstream string) (cursor string, err error) {
	err = d.DB.QueryRow(ctx, "SELECT coalesce((SELECT cursor FROM feedback_cursors WHERE upstream = $1), '')", database.Text(upstream)).Scan(&cursor)
	return cursor, database.Describe(err)
}

const (
	setCursor    = "INSERT INTO feedback_cursors (upstream, cursor) VALUES ($1, $2) ON CONFLICT (upstream) DO UPDATE SET cursor = excluded.cursor"
	forgetNonces = "DELETE FROM feedback_nonces WHERE at < $1"
	keepNonce    = "INSERT INTO feedback_nonces (nonce, at) VALUES ($1, $2) ON CONFLICT (nonce) DO NOTHING"
)

// errReplay undoes a write.
var errReplay = errors.New("queue: the news were taken in before")

// Apply implements queue.Feedback.
func (d Desk) Apply(ctx context.Context, n queue.News) (queue.Applied, error) {
	list := make([]*told.Item, len(n.Told))
	for i := range n.Told {
		item := told.New(n.Upstream, n.Told[i])
		list[i] = &item
	}
	replay := false
	done, err := d.join(ctx, list, func(tx pgx.Tx) error {
		if n.Nonce != "" {
			if _, err := tx.Exec(ctx, forgetNonces, d.Now().Add(-queue.NonceTime).UnixMilli()); err != nil {
				return err
			}
			tag, err := tx.Exec(ctx, keepNonce, database.Text(n.Upstream+" "+n.Nonce), d.Now().UnixMilli())
			if err != nil {
				return err
			}
			if replay = tag.RowsAffected() == 0; replay {
				return errReplay
			}
		}
		if n.Cursor == "" {
			return nil
		}
		_, err := tx.Exec(ctx, setCursor, database.Text(n.Upstream), database.Text(n.Cursor))
		return err
	})
	if replay && errors.Is(err, errReplay) {
		return queue.Applied{Replay: true}, nil
	}
	return done, err
}

// Awaited implements queue.Feedback.
func (d Desk) Awaited(ctx context.Context, upstream string, since time.Time) (time.Time, error) {
	return d.History.OldestSent(ctx, upstream, since)
}

// LateBounces implements queue.Feedback.
func (d Desk) LateBounces(ctx context.Context, after string, most int) (list []queue.LateBounce, err error) {
	seq := int64(0)
	if after != "" {
		if seq, err = strconv.ParseInt(after, 36, 64); err != nil {
			return nil, fmt.Errorf("%w: %q", queue.ErrPlace, after)
		}
	}
	err = d.History.Late(ctx, seq, most, func(s *history.Stored, told string) (err error) {
		l := queue.LateBounce{Key: strconv.FormatInt(s.Seq, 36)}
		if l.Record, err = s.Decode(); err == nil {
			err = json.Unmarshal([]byte(told), &l.Told)
		}
		list = append(list, l)
		return err
	})
	return list, err
}

// Dismiss implements queue.Feedback.
func (d Desk) Dismiss(ctx context.Context, keys ...string) error {
	seqs, err := numbers(keys)
	if err != nil {
		return err
	}
	_, err = d.DB.Exec(ctx, "DELETE FROM feedback_late WHERE seq = ANY($1)", seqs)
	return database.Describe(err)
}

// Report removes the late bounces that a message reports; the error wraps queue.ErrReported where one is not there.
func Report(ctx context.Context, tx pgx.Tx, keys []string) error {
	seqs, err := numbers(keys)
	if err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, "DELETE FROM feedback_late WHERE seq = ANY($1)", seqs)
	if err == nil && int(tag.RowsAffected()) != len(seqs) {
		err = fmt.Errorf("%w: %q", queue.ErrReported, keys)
	}
	return err
}

func numbers(keys []string) ([]int64, error) {
	seqs := make([]int64, len(keys))
	for i, key := range keys {
		var err error
		if seqs[i], err = strconv.ParseInt(key, 36, 64); err != nil {
			return nil, fmt.Errorf("%w: %q", queue.ErrReported, key)
		}
	}
	return seqs, nil
}

const (
	expireQuery = "DELETE FROM feedback_waiting WHERE came < $1"
	pruneLate   = "DELETE FROM feedback_late l WHERE NOT EXISTS (SELECT FROM history h WHERE h.seq = l.seq AND h.at >= $1)"
)

// Prune removes late bounces whose record is gone, and what waited in vain.
func (d Desk) Prune(ctx context.Context) error {
	horizon, err := d.History.Horizon(ctx)
	if err != nil {
		return err
	}
	_, expired := d.DB.Exec(ctx, expireQuery, d.Now().Add(-queue.JoinTime).UnixMilli())
	_, late := d.DB.Exec(ctx, pruneLate, horizon)
	_, beyond := d.DB.Exec(ctx, boundOutgoing, queue.ForwardMost)
	return database.Describe(errors.Join(expired, late, beyond))
}
