package history

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"strings"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
)

// A sheet holds what a thousand records are searched by, column by column, so that a search reads next to nothing of
// records that it does not find: all of a million recipients are 30 MB. It is written once, from records that are there
// already, and goes when its records have gone. It only ever says which records to look at; these have the last word.

// The columns of a sheet. Each has a row of its own.
const (
	factsColumn = iota // number, time, state and upstream of each record
	idsColumn          // hashes of Message-ID and provider's id
	recipientColumn
	senderColumn
	subjectColumn
	columns
)

const (
	sheetRecords = 1024 // records of a sheet
	keyShift     = 3    // the key of a column is the number of its first record and that of the column
	factBytes    = 4 + 8 + 1 + 2
	stateOffset  = 4 + 8
	idBytes      = 4 + 4
	codeBytes    = 2
	givenMark    = "\x00" // between an address and how it was given
)

// entry is what a record is searched by.
type entry struct {
	seq, at, state              int64
	upstream, message, provider string
	texts                       [columns]string
}

func newEntry(seq int64, r *row.Record) (entry, error) {
	t, err := r.Texts()
	if err != nil {
		return entry{}, err
	}
	e := entry{seq: seq, at: r.At, state: r.State, upstream: t.Upstream, message: t.Header.MessageID, provider: t.ProviderID}
	e.texts[recipientColumn] = plain(queue.AddressText(r.Recipient))
	if g := t.To.Given; g != "" {
		e.texts[recipientColumn] += givenMark + plain(queue.AddressText(g))
	}
	e.texts[senderColumn], e.texts[subjectColumn] = plain(queue.AddressText(r.Sender)), plain(strings.ToLower(t.Header.Subject))
	return e, nil
}

// plain is a text without what stands between texts.
func plain(text string) string { return strings.ReplaceAll(text, "\n", " ") }

// hashID is what ids are compared by first.
func hashID(id string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(queue.PlainID(id)))
	return h.Sum32()
}

// encode returns the columns of a sheet.
func encode(entries []entry) (out [columns][]byte) {
	var upstreams dictionary
	facts, ids := make([]byte, 0, len(entries)*factBytes), make([]byte, 0, len(entries)*idBytes)
	le := binary.LittleEndian
	for i := range entries {
		e := &entries[i]
		facts = le.AppendUint32(facts, uint32(e.seq-entries[0].seq))
		facts = append(le.AppendUint64(facts, uint64(e.at)), byte(e.state))
		facts = le.AppendUint16(facts, upstreams.code(plain(e.upstream)))
		ids = le.AppendUint32(le.AppendUint32(ids, hashID(e.message)), hashID(e.provider))
	}
	out[factsColumn], out[idsColumn] = append(facts, upstreams.text...), ids
	for column := recipientColumn; column < columns; column++ {
		var words dictionary
		codes := make([]byte, 0, len(entries)*codeBytes)
		for i := range entries {
			codes = le.AppendUint16(codes, words.code(entries[i].texts[column]))
		}
		out[column] = append(codes, words.text...)
	}
	return out
}

// dictionary numbers texts and writes them one behind the other.
type dictionary struct {
	codes map[string]uint16
	text  []byte
}

func (d *dictionary) code(text string) uint16 {
	c, ok := d.codes[text]
	if !ok {
		if d.codes == nil {
			d.codes = map[string]uint16{}
		}
		c = uint16(len(d.codes))
		d.codes[text] = c
		d.text = append(append(d.text, text...), '\n')
	}
	return c
}

// named returns the codes of the texts that hold a needle and of which a condition is true; nil: none.
func named(text []byte, needle string, is func(text string) bool) (codes []bool) {
	code, at := 0, 0
	for at < len(text) {
		i := bytes.Index(text[at:], []byte(needle))
		if i < 0 {
			return codes
		}
		if i == len(text)-at { // an empty needle at the end
			return codes
		}
		begin := at + bytes.LastIndexByte(text[at:at+i], '\n') + 1
		code += bytes.Count(text[at:begin], []byte{'\n'})
		end := begin + bytes.IndexByte(text[begin:], '\n')
		if is(string(text[begin:end])) {
			if codes == nil {
				codes = make([]bool, sheetRecords)
			}
			codes[code] = true
		}
		at = end + 1
		code++
	}
	return codes
}

// facts reads the column of facts.
type facts struct {
	first int64
	data  []byte
}

func (f *facts) seq(i int) int64 {
	return f.first + int64(binary.LittleEndian.Uint32(f.data[i*factBytes:]))
}
func (f *facts) at(i int) int64    { return int64(binary.LittleEndian.Uint64(f.data[i*factBytes+4:])) }
func (f *facts) state(i int) int64 { return int64(f.data[i*factBytes+stateOffset]) }
func (f *facts) upstream(i int) uint16 {
	return binary.LittleEndian.Uint16(f.data[i*factBytes+13:])
}
func (f *facts) upstreams() []byte { return f.data[sheetRecords*factBytes:] }
