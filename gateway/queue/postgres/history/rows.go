// Package history has the tables of what became of mail: records of recipients, in a partition for each day on which they
// were written, and events of messages.
package history

import (
	"encoding/json"
	"hash/fnv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/row"
)

// Rows are records and events that are to be written together, column by column.
type Rows struct {
	at, message, provider, messageID, state     []int64
	upstream, sender, recipient, given, subject []string
	exactSender, exactRecipient, info           []string
	kept                                        [][]byte
	eventMessage                                []int64
	eventInfo                                   []string
}

// Add adds a record: as its row has it, and as it is.
func (r *Rows) Add(stored *row.Record, rec *queue.Record, kept []byte) {
	r.at, r.message, r.state = append(r.at, stored.At), append(r.message, stored.Message), append(r.state, stored.State)
	r.provider, r.messageID = append(r.provider, hashID(rec.ProviderID)), append(r.messageID, hashID(rec.Header.MessageID))
	r.upstream = append(r.upstream, database.Text(rec.Upstream))
	r.sender = append(r.sender, database.Text(queue.AddressText(rec.From)))
	r.recipient = append(r.recipient, database.Text(queue.AddressText(rec.Recipient.Address)))
	r.given = append(r.given, database.Text(queue.AddressText(rec.Recipient.Given)))
	r.subject = append(r.subject, database.Text(strings.ToLower(rec.Header.Subject)))
	r.exactSender = append(r.exactSender, database.Text(stored.Sender))
	r.exactRecipient = append(r.exactRecipient, database.Text(stored.Recipient))
	r.info, r.kept = append(r.info, stored.Info), append(r.kept, kept)
}

// AddAll adds what is made of the records of a message. kept goes with the first of them.
func (r *Rows) AddAll(stored []row.Record, recs []queue.Record, kept []byte) {
	for i := range stored {
		r.Add(&stored[i], &recs[i], kept)
		kept = nil
	}
}

// AddEvent adds an event.
func (r *Rows) AddEvent(message int64, info string) {
	r.eventMessage, r.eventInfo = append(r.eventMessage, message), append(r.eventInfo, info)
}

// AddRows adds the rows of others.
func (r *Rows) AddRows(o *Rows) {
	r.at, r.message, r.provider = append(r.at, o.at...), append(r.message, o.message...), append(r.provider, o.provider...)
	r.messageID, r.state = append(r.messageID, o.messageID...), append(r.state, o.state...)
	r.upstream, r.sender, r.recipient = append(r.upstream, o.upstream...), append(r.sender, o.sender...), append(r.recipient, o.recipient...)
	r.given, r.subject = append(r.given, o.given...), append(r.subject, o.subject...)
	r.exactSender, r.exactRecipient = append(r.exactSender, o.exactSender...), append(r.exactRecipient, o.exactRecipient...)
	r.info, r.kept = append(r.info, o.info...), append(r.kept, o.kept...)
	r.eventMessage, r.eventInfo = append(r.eventMessage, o.eventMessage...), append(r.eventInfo, o.eventInfo...)
}

const insertRecords = `INSERT INTO history (day, seq, at, message, provider, message_id, state, upstream, sender, recipient, given, subject,
		exact_sender, exact_recipient, info, kept)
	SELECT (now() AT TIME ZONE 'UTC')::date, nextval('history_seq'), r.*
	FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
		$11::text[], $12::text[], $13::text[], $14::bytea[]) r`

const insertEvents = "INSERT INTO events (message, info) SELECT * FROM unnest($1::bigint[], $2::text[])"

// Queue adds the statements that write the rows to a batch.
func (r *Rows) Queue(b *pgx.Batch) {
	if len(r.at) > 0 {
		b.Queue(insertRecords, r.at, r.message, r.provider, r.messageID, r.state, r.upstream, r.sender, r.recipient, r.given, r.subject,
			r.exactSender, r.exactRecipient, r.info, r.kept)
	}
	if len(r.eventMessage) > 0 {
		b.Queue(insertEvents, r.eventMessage, r.eventInfo)
	}
}

// EventText is what the row of an event holds.
func EventText(e queue.Event, now time.Time) (string, error) {
	if e.At.IsZero() {
		e.At = now
	}
	text, err := json.Marshal(e)
	return string(text), err
}

// hashID is the hash by which records are found by an id; 0: there is none.
func hashID(id string) int64 {
	if id = queue.PlainID(id); id == "" {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(id))
	return max(int64(h.Sum64()>>1), 1)
}
