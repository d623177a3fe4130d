package database

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"mailhatch/gateway/queue/sqlite/disk"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Identity of the database file: https://www.sqlite.org/fileformat2.html#the_database_header
const (
	applicationID = 0x6D686174 // "mhat"
	schemaVersion = 10
	oldestVersion = 1 // had no segments; 2 had bodies without trailers, 3 counted no quotas, 4 had no events, 5 kept nothing of messages that have ended, 6 had no sheets, 7 no suppressions, 8 no feedback, 9 handed nothing on
	headerMagic   = "SQLite format 3\x00"
	headerLen     = 100
)

// PageSize in bytes. Pages of 16 KiB would hold whole bodies of usual size, but cost a life cycle 60 %
// more CPU here, most of it for memory that the engine takes and gives back page by page.
const PageSize = 4096

// The states are numbers in the rows; see package row. A row of messages is never updated, so that a
// change of state does not rewrite the body; only its place may. A message whose body is NULL has it in
// a file, one whose body is a number in a segment (see bodies.Place).
// The first parts of a message have the numbers 1, 2, 3 and later ones numbers from the source of the ids, for
// none may be used again: a lease knows its part by it.
// Parts without recipients of their own (info without "to") hold all of the message's.
const schema = `
CREATE TABLE messages (
	id       INTEGER PRIMARY KEY,
	received INTEGER NOT NULL,
	size     INTEGER NOT NULL,
	crc      INTEGER NOT NULL,
	info     TEXT    NOT NULL,
	body     BLOB
);
CREATE TABLE parts (
	message INTEGER NOT NULL,
	n       INTEGER NOT NULL,
	state   INTEGER NOT NULL,
	lane    TEXT    NOT NULL,
	next_at INTEGER NOT NULL,
	size    INTEGER NOT NULL,
	info    TEXT    NOT NULL,
	PRIMARY KEY (message, n)
) WITHOUT ROWID;
CREATE INDEX parts_due  ON parts (lane, next_at)  WHERE state = 0;
CREATE INDEX parts_rest ON parts (state, next_at) WHERE state <> 0;
CREATE TABLE history (
	seq       INTEGER PRIMARY KEY,
	at        INTEGER NOT NULL,
	message   INTEGER NOT NULL,
	state     INTEGER NOT NULL,
	sender    TEXT    NOT NULL,
	recipient TEXT    NOT NULL,
	info      TEXT    NOT NULL,
	kept      BLOB
);
CREATE INDEX history_message ON history (message);
` + segmentIndex + quotaTables + eventTables + finishedTables + sheetTable + suppressionTable + feedbackTables + outgoingTable

// segmentIndex finds the bodies of a segment.
const segmentIndex = `
CREATE INDEX messages_segment ON messages (body) WHERE typeof(body) = 'integer';
`

// quotaTables count what upstreams take; see package ledger. Times are in milliseconds.
const quotaTables = `
CREATE TABLE quota_used (
	upstream TEXT    NOT NULL,
	at       INTEGER NOT NULL,
	n        INTEGER NOT NULL,
	PRIMARY KEY (upstream, at)
) WITHOUT ROWID;
CREATE TABLE quota_open (
	message   INTEGER NOT NULL,
	upstream  TEXT    NOT NULL,
	recipient TEXT    NOT NULL,
	at        INTEGER NOT NULL,
	PRIMARY KEY (message, upstream, recipient)
) WITHOUT ROWID;
CREATE TABLE quota_counting (
	upstream TEXT PRIMARY KEY
) WITHOUT ROWID;
`

// eventTables keep what happened to messages, and what operators have paused; see packages history and pause.
const eventTables = `
CREATE TABLE events (
	seq     INTEGER PRIMARY KEY,
	message INTEGER NOT NULL,
	info    TEXT    NOT NULL
);
CREATE INDEX events_message ON events (message);
CREATE TABLE pauses (
	lane TEXT    PRIMARY KEY,
	at   INTEGER NOT NULL,
	who  TEXT    NOT NULL
) WITHOUT ROWID;
`

// finishedTables keep what is needed of messages that have left the queue, and how far the history was looked through.
const finishedTables = `
CREATE TABLE finished (
	message INTEGER PRIMARY KEY,
	size    INTEGER NOT NULL,
	kept    BLOB    NOT NULL
);
CREATE TABLE marks (
	name TEXT    PRIMARY KEY,
	seq  INTEGER NOT NULL
) WITHOUT ROWID;
`

// sheetTable has what the history is searched by; see package history.
const sheetTable = `
CREATE TABLE sheets (
	key    INTEGER PRIMARY KEY,
	last   INTEGER NOT NULL,
	oldest INTEGER NOT NULL,
	newest INTEGER NOT NULL,
	data   BLOB    NOT NULL
);
`

// suppressionTable has the addresses that mail is not offered to; see package suppress. An until of 0 is never.
const suppressionTable = `
CREATE TABLE suppressions (
	address TEXT    NOT NULL,
	domain  TEXT    NOT NULL,
	reason  TEXT    NOT NULL,
	at      INTEGER NOT NULL,
	until   INTEGER NOT NULL,
	info    TEXT    NOT NULL,
	PRIMARY KEY (address, domain)
) WITHOUT ROWID;
CREATE INDEX suppressions_at    ON suppressions (at);
CREATE INDEX suppressions_until ON suppressions (until) WHERE until > 0;
`

// feedbackTables keep what providers tell later; see package feedback. Times are in milliseconds.
const feedbackTables = `
CREATE TABLE feedback_cursors (
	upstream TEXT PRIMARY KEY,
	cursor   TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE feedback_waiting (
	seq      INTEGER PRIMARY KEY,
	key      TEXT    NOT NULL UNIQUE,
	came     INTEGER NOT NULL,
	tried    INTEGER NOT NULL,
	upstream TEXT    NOT NULL,
	info     TEXT    NOT NULL
);
CREATE TABLE feedback_nonces (
	nonce TEXT    PRIMARY KEY,
	at    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE feedback_late (
	seq  INTEGER PRIMARY KEY,
	at   INTEGER NOT NULL,
	info TEXT    NOT NULL
);
`

// outgoingTable has what was told and waits for who is handed it; no number is used again.
const outgoingTable = `
CREATE TABLE feedback_outgoing (
	seq      INTEGER PRIMARY KEY AUTOINCREMENT,
	receiver TEXT    NOT NULL,
	info     TEXT    NOT NULL
);
CREATE INDEX feedback_outgoing_receiver ON feedback_outgoing (receiver, seq);
`

// Create makes an empty database at path, or nothing: it takes its name when it is complete.
func Create(path string) error {
	draft := path + ".new"
	for _, old := range []string{draft, draft + "-wal", draft + "-shm"} {
		if err := os.Remove(old); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	f, err := os.OpenFile(draft, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fill(draft); err != nil {
		return err
	}
	if err := f.Close(); err != nil { // Windows renames closed files only
		return err
	}
	return disk.Settle(draft, path)
}

func fill(path string) error {
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, setting := range []string{
		fmt.Sprintf("page_size = %d", PageSize),
		"auto_vacuum = INCREMENTAL",
		"journal_mode = WAL",
	} {
		if err := sqlitex.ExecuteTransient(conn, "PRAGMA "+setting, nil); err != nil {
			return err
		}
	}
	return sqlitex.ExecuteScript(conn, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d; %s",
		applicationID, schemaVersion, schema), nil)
}

// Versions of the tables that were the first to have some of them.
const (
	FirstSuppressions = 8
	FirstFeedback     = 9
)

// Version is that of the tables of a database.
func Version(conn *sqlite.Conn) (int64, error) { return Number(conn, "PRAGMA user_version") }

// Upgrade brings a database of an older version to this one. It reports whether its bodies had no trailers.
func Upgrade(conn *sqlite.Conn) (noTrailers bool, err error) {
	v, err := Version(conn)
	if err != nil || v == schemaVersion {
		return false, err
	}
	script := outgoingTable
	if v < FirstFeedback {
		script += feedbackTables
	}
	if v < FirstSuppressions {
		script += suppressionTable
	}
	if v < 7 {
		script += sheetTable
	}
	if v < 6 {
		script += finishedTables + "ALTER TABLE history ADD COLUMN kept BLOB; INSERT INTO marks SELECT 'put away', max(seq) FROM history HAVING max(seq) > 0;"
	}
	if v < 5 {
		script += eventTables
	}
	if v < 4 {
		script += quotaTables
	}
	if v < 2 {
		script += segmentIndex
	}
	return v < 3, sqlitex.ExecuteScript(conn, fmt.Sprintf("%s PRAGMA user_version = %d;", script, schemaVersion), nil)
}

// Check reads the identity of the file at path without opening it as a database, so that a
// foreign one stays as it is. exists is false where there is no file or an empty one.
func Check(path string) (exists bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	header := make([]byte, headerLen)
	n, err := io.ReadFull(f, header)
	if err == io.EOF {
		return false, nil
	}
	if err != nil && err != io.ErrUnexpectedEOF {
		return false, err
	}
	if n < headerLen || string(header[:len(headerMagic)]) != headerMagic {
		return false, fmt.Errorf("%s is not a mailhatch queue: it must be an SQLite database (it was left as it is)", path)
	}
	if id := binary.BigEndian.Uint32(header[68:]); id != applicationID {
		return false, fmt.Errorf("%s is not a mailhatch queue: it belongs to another program (application id %#x; it was left as it is)", path, id)
	}
	if v := binary.BigEndian.Uint32(header[60:]); v < oldestVersion || v > schemaVersion {
		return false, fmt.Errorf("%s has version %d of the queue's tables and this mailhatch knows version %d: use the mailhatch that wrote it (it was left as it is)", path, v, schemaVersion)
	}
	return true, nil
}
