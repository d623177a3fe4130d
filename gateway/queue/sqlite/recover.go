package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/disk"
	"mailhatch/gateway/queue/sqlite/orphan"
	"mailhatch/gateway/queue/sqlite/salvage"
	"mailhatch/gateway/queue/sqlite/wal"
)

// recovery rebuilds a store from what its files hold.
type recovery struct {
	*Store
	queue.Recovery
	messages map[int64]*salvage.Message
	history  map[int64]map[string]row.Record
	before   []string // what had been set aside before a damaged log was recovered
}

// Recover rebuilds the queue in a state directory that Open refuses with queue.ErrDamagedLog: it keeps the damaged
// files beside, and puts back on hold what it finds in the log behind the damage and in bodies without a row. It also
// puts back the messages of ids that were set aside before. The error wraps queue.ErrLocked when the queue is in use.
func Recover(ctx context.Context, o queue.Settings, ids []string) (_ queue.Recovery, err error) {
	r := recovery{Store: newStore(o), messages: map[int64]*salvage.Message{}, history: map[int64]map[string]row.Record{}}
	if _, err := os.Stat(r.path); err != nil {
		return r.Recovery, fmt.Errorf("queue: %w", err)
	}
	if r.lock, err = takeLock(ctx, o.Dir); err != nil {
		return r.Recovery, err
	}
	suffix, err := r.keepDamaged()
	if err == nil {
		err = r.open()
	}
	if err != nil {
		return r.Recovery, errors.Join(fmt.Errorf("queue: %w", err), r.release())
	}
	orphans := r.orphans
	r.orphans = bodies.Found{} // they are looked after when the rows are back
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	r.segments.Keep(true) // the log may name bodies that no row names yet
	err = r.rebuild(ctx, suffix)
	r.segments.Keep(false)
	if err == nil {
		found := r.sweep(ctx, orphans)
		if suffix == "" {
			r.Aside = append(r.Aside, found.aside...)
		} else {
			ids, err = r.withSetAside(ids)
		}
		err = errors.Join(err, r.putBackAll(ctx, ids))
	}
	err = errors.Join(err, r.Close(), <-ran)
	if err == nil && suffix != "" {
		err = errors.Join(os.Remove(filepath.Join(o.Dir, recoverName)), disk.SyncDir(o.Dir))
	}
	return r.Recovery, err
}

// rebuild puts back what the damaged log holds behind its damage.
func (r *recovery) rebuild(ctx context.Context, suffix string) error {
	if suffix == "" {
		return nil
	}
	m, _, err := wal.ReadMark(filepath.Join(r.dir, markName+suffix))
	if err != nil {
		return err
	}
	logPath := r.path + suffix + "-wal"
	s, err := wal.Salvage(logPath, r.path+suffix, database.PageSize, m, r.take)
	if err != nil {
		return err
	}
	if s.Damaged > 0 {
		r.doubt("%d pages of the log are damaged: mail that was accepted, or its end, may have stood on them alone", s.Damaged)
	}
	if s.Missing > 0 {
		r.doubt("%d pages of the log are missing, up to the last commit at %s: the gateway's own log names the mail (\"accepted\") whose body was not in bodies/",
			s.Missing, time.UnixMilli(m.At).Format(time.RFC3339))
	}
	for _, id := range slices.Sorted(maps.Keys(r.history)) {
		if err := r.do(ctx, &op{bytes: rowBytes, steers: true, run: func(t *tx) error { return r.end(t, id) }}); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.messages)) {
		if err := r.restore(ctx, id, r.messages[id]); err != nil {
			return err
		}
	}
	return r.holdBodiless(ctx)
}

// holdBodiless puts mail on hold whose body is missing: most likely it was sent, and the log has lost that.
func (r *recovery) holdBodiless(ctx context.Context) error {
	var bodiless []string
	err := r.use(ctx, func(conn *sqlite.Conn) error {
		return database.Rows(conn, "SELECT id, size, crc, body FROM messages WHERE typeof(body) <> 'blob' AND EXISTS (SELECT 1 FROM parts WHERE message = id)", nil, func(st *sqlite.Stmt) (bool, error) {
			b := bodies.Scan(st, st.ColumnInt64(0), 1)
			path := bodies.Path(r.dir, b.ID)
			if b.At.InSegment() {
				path = bodies.SegmentPath(r.dir, b.At.Segment())
			}
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				bodiless = append(bodiless, queue.FormatID(b.ID))
			}
			return true, nil
		})
	})
	if err != nil || len(bodiless) == 0 {
		return err
	}
	r.doubt("on hold, as their bodies are gone, most likely because they were sent: %s", strings.Join(bodiless, " "))
	_, err = r.Hold(ctx, queue.Filter{IDs: bodiless}, "recover")
	return err
}

func (r *recovery) doubt(format string, args ...any) {
	r.Doubt = append(r.Doubt, fmt.Sprintf(format, args...))
}

// take takes over a row of the log if it is one of messages or history, which their columns show.
func (r *recovery) take(found wal.Row) {
	if h, ok := salvage.HistoryOf(found); ok && found.Whole {
		if r.history[h.Message] == nil {
			r.history[h.Message] = map[string]row.Record{}
		}
		r.history[h.Message][h.Recipient] = h
	}
	m, ok := salvage.MessageOf(found)
	if before := r.messages[found.Key]; ok && (before == nil || m.Whole || !before.Whole) {
		r.messages[found.Key] = m
	}
}

// end puts back the history of a message, and ends the parts of it that it names. It runs in the writer.
func (r *recovery) end(t *tx, id int64) error {
	ended, err := endedRecipients(t.conn, id)
	if err != nil {
		return err
	}
	for _, to := range slices.Sorted(maps.Keys(r.history[id])) {
		if h := r.history[id][to]; !ended[to] {
			if err := t.insertRecord(&h); err != nil {
				return err
			}
		}
	}
	gone := names{}
	for name := range r.history[id] {
		gone[name] = true
	}
	found, m, err := readMessage(t.conn, id)
	if err != nil || found == nil {
		return err
	}
	for i := range found.Parts {
		p := &found.Parts[i]
		open := slices.DeleteFunc(slices.Clone(m.Parts[i].To), func(to envelope.Recipient) bool { return r.names(gone, to.Address) })
		switch {
		case len(open) == 0:
			err = t.removePart(p.Key, p.Lane, p.State, p.Size)
		case len(open) < len(m.Parts[i].To):
			part := m.Parts[i]
			part.To = open
			held := row.Part{State: row.Held, Lane: p.Lane, NextAt: t.now.UnixMilli()}
			if held.Info, err = row.PartText(&part, m.Envelope.To); err == nil {
				err = t.updatePart(p, held)
			}
		}
		if err != nil {
			return err
		}
	}
	e, err := r.EndedMessage(t.conn, id)
	if err == nil && e != nil {
		_, err = t.putAway(e) // a file that is left is removed as that of a message whose end is known
	}
	return err
}

// restore puts a message of the log back into the queue, unless its fate is known.
func (r *recovery) restore(ctx context.Context, id int64, m *salvage.Message) error {
	t := orphan.Trailer{ID: id, Place: int64(bodies.InFile), Size: m.Body.Size, CRC: m.Body.CRC, Info: []byte(m.Text)}
	fate, _, err := r.fate(ctx, &t)
	if err != nil || fate != "" {
		return err
	}
	body, err := m.Body.Open(r.dir, r.path)
	if err == nil {
		err = body.Close()
	}
	if m.Whole && err == nil {
		return r.insert(ctx, m, "the log")
	}
	if m.Body.At == bodies.InRow {
		name := queue.FormatID(id) + bodies.Suffix
		r.Aside = append(r.Aside, name)
		if err := lostFound(r.dir).Put(name, report(&t, &m.Info, r.path+"-wal", false), m.Body.Inline, t.Encode()); err != nil {
			return err
		}
	}
	r.doubt("message %s from <%s> to %s was accepted, and its row or its body is damaged: %v", queue.FormatID(id), m.Info.Envelope.From,
		addresses(m.Info.Envelope.To), cmp.Or(err, errors.New("its checksum does not match")))
	return nil
}

func addresses(to []envelope.Recipient) string {
	list := make([]string, len(to))
	for i := range to {
		list[i] = "<" + to[i].Address + ">"
	}
	return strings.Join(list, ", ")
}

// insert puts a message into the queue, on hold, for the recipients whose fate is not known.
func (r *recovery) insert(ctx context.Context, m *salvage.Message, source string) error {
	id := m.Body.ID
	msg := &queue.Message{ID: queue.FormatID(id), Envelope: m.Info.Envelope, Header: m.Info.Header, Size: m.Body.Size}
	var to []envelope.Recipient
	err := r.do(ctx, &op{bytes: int(m.Body.Size) + rowBytes, run: func(t *tx) error {
		ended, err := endedRecipients(t.conn, id)
		if err != nil {
			return err
		}
		to = slices.DeleteFunc(slices.Clone(msg.Envelope.To), func(to envelope.Recipient) bool { return r.names(ended, to.Address) })
		part := queue.Part{To: to, State: envelope.Held, Progress: envelope.Progress{Error: "recovered from " + source + "; it may have been sent"}}
		rows, err := row.Make(t.now, msg, id, []queue.Part{part}, nil, t.hide)
		if err != nil {
			return err
		}
		return t.insertMessage(&m.Body, msg, m.Text, rows)
	}})
	if err == nil {
		r.Restored = append(r.Restored, queue.Restored{ID: msg.ID, From: msg.Envelope.From, To: to, Size: msg.Size, Source: source})
	}
	return err
}

// withSetAside adds what was set aside since the recovery began, be it by one that was cut off, to what is to go back.
func (r *recovery) withSetAside(ids []string) ([]string, error) {
	all, err := lostFound(r.dir).List()
	for _, name := range all {
		if !slices.Contains(slices.Concat(r.before, r.Aside, ids), name) && !slices.Contains(ids, strings.TrimSuffix(name, bodies.Suffix)) {
			ids = append(ids, name)
		}
	}
	return ids, err
}

// putBackAll puts messages back that were set aside; names are their ids or their files.
func (r *recovery) putBackAll(ctx context.Context, names []string) error {
	for _, name := range names {
		id, ok := queue.ParseID(strings.TrimSuffix(name, bodies.Suffix))
		if ok {
			name = queue.FormatID(id) + bodies.Suffix
		}
		if ok, err := r.putBack(ctx, id, name); err != nil {
			return err
		} else if !ok {
			r.Aside = append(r.Aside, name)
		}
	}
	return nil
}

// putBack puts a message back that was set aside; ok is false if it cannot go back and stays where it is.
func (r *recovery) putBack(ctx context.Context, id int64, name string) (ok bool, err error) {
	dir := lostFound(r.dir)
	t, ok, whole, err := orphan.Open(dir.Path(name), int64(bodies.InFile))
	if err != nil {
		return false, err
	}
	if !ok || !whole || t.ID != id {
		r.doubt("%s has no envelope, or does not match its checksum", dir.Path(name))
		return false, nil
	}
	fate, info, err := r.fate(ctx, &t)
	if err != nil || fate != "" || info == nil {
		if err == nil {
			r.doubt("%s: its message is %s", dir.Path(name), cmp.Or(fate, "not readable"))
		}
		return false, err
	}
	path := bodies.Path(r.dir, id)
	if err := errors.Join(os.Rename(dir.Path(name), path), disk.SyncDir(filepath.Dir(path)), dir.Remove(name)); err != nil {
		return false, err
	}
	m := &salvage.Message{Text: string(t.Info), Info: *info, Body: bodies.Stored{ID: id, Size: t.Size, CRC: t.CRC, At: bodies.InFile}}
	return true, r.insert(ctx, m, "its body") // a body that is left behind without a row is set aside again
}
