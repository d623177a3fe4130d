// Package salvage reads the rows of messages and of the history from pages of a damaged log.
package salvage

import (
	"encoding/json"
	"hash/crc32"

	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/wal"
)

// Message is a message as a page of the log holds it.
type Message struct {
	Text  string // of Info
	Info  row.MessageInfo
	Body  bodies.Stored
	Whole bool // the page and, if it is in the row, the body match their checksums
}

// MessageOf reads a row of messages, which its columns show.
func MessageOf(found wal.Row) (*Message, bool) {
	m := &Message{Whole: found.Whole}
	m.Body.ID = found.Key
	var received, crc int64
	if len(found.Values) < 6 || found.Values[0] != nil || !column(found, 1, &received) || !column(found, 2, &m.Body.Size) ||
		!column(found, 3, &crc) || !column(found, 4, &m.Text) {
		return nil, false
	}
	m.Body.CRC = uint32(crc)
	switch b := found.Values[5].(type) {
	case nil:
		m.Body.At = bodies.InFile
	case int64:
		m.Body.At = bodies.Place(b)
	case []byte:
		m.Body.Inline = b
		m.Whole = m.Whole && crc32.Checksum(b, bodies.Castagnoli()) == m.Body.CRC
	default:
		return nil, false
	}
	err := json.Unmarshal([]byte(m.Text), &m.Info)
	return m, err == nil && len(m.Info.Envelope.To) > 0
}

// HistoryOf reads a row of the history.
func HistoryOf(found wal.Row) (h row.Record, ok bool) {
	ok = len(found.Values) >= 7 && found.Values[0] == nil && column(found, 1, &h.At) && column(found, 2, &h.Message) && column(found, 3, &h.State) &&
		column(found, 4, &h.Sender) && column(found, 5, &h.Recipient) && column(found, 6, &h.Info)
	if ok && len(found.Values) > 7 {
		column(found, 7, &h.Kept)
	}
	return h, ok
}

// column reads a value of a row, if it has that type.
func column[T any](found wal.Row, n int, to *T) (ok bool) {
	*to, ok = found.Values[n].(T)
	return ok
}
