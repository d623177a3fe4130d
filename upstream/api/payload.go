package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"slices"

	"mailhatch/mime"
)

// Segment is a piece of a request body: literal bytes, or a stream of a size known beforehand.
type Segment struct {
	Literal []byte
	Open    func() io.Reader // nil for literals
	Length  int64            // bytes that open returns
	Secret  bool             // a literal that nobody is shown
}

// Payload is a request body. It can be read any number of times and is the same each time; streams
// are read from the message while they are sent, never held.
type Payload []Segment

// Size is the Content-Length in bytes.
func (p Payload) Size() int64 {
	var n int64
	for _, s := range p {
		n += int64(len(s.Literal)) + s.Length
	}
	return n
}

// Digest names the body by its bytes. The error is that of a message that cannot be read.
func (p Payload) Digest() (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, p.Open())
	return hex.EncodeToString(h.Sum(nil)[:16]), err
}

// Open reads the body from its start.
func (p Payload) Open() io.Reader { return &payloadReader{rest: p} }

type payloadReader struct {
	rest Payload
	cur  io.Reader
	left int64 // bytes of cur still to come
}

// Read fills b over the ends of segments, for each Read may become a write of the connection; streams are
// opened when their turn comes. A stream that ends before its length is an error: the message's file was
// cut short.
func (r *payloadReader) Read(b []byte) (n int, err error) {
	for n < len(b) {
		if r.cur == nil && !r.next() {
			if n > 0 {
				return n, nil
			}
			return 0, io.EOF
		}
		got, err := r.cur.Read(b[n:])
		n += got
		r.left -= int64(got)
		switch {
		case err == io.EOF && r.left > 0:
			return n, io.ErrUnexpectedEOF
		case err == io.EOF:
			r.cur = nil
		case err != nil:
			return n, err
		}
	}
	return n, nil
}

// next goes on to the next segment and reports whether there is one.
func (r *payloadReader) next() bool {
	if len(r.rest) == 0 {
		return false
	}
	if s := r.rest[0]; s.Open != nil {
		r.cur, r.left = s.Open(), s.Length
	} else {
		r.cur, r.left = bytes.NewReader(s.Literal), int64(len(s.Literal))
	}
	r.rest = r.rest[1:]
	return true
}

// Base64 is a part's decoded content in base64 (RFC 4648 4), as JSON APIs take files, and its size. They refuse an
// empty file: one line end is what comes next to it. Errors are those of reading the message.
func Base64(p *mime.Part) (Segment, int64, error) {
	n, err := p.DecodedSize()
	switch {
	case err != nil:
		return Segment{}, 0, err
	case n == 0:
		return Segment{Literal: []byte("Cg==")}, 1, nil
	}
	return Encode(Segment{Open: p.Open, Length: n}, base64.StdEncoding), n, nil
}

// Encode is a stream in an encoding with padding.
func Encode(s Segment, encoding *base64.Encoding) Segment {
	chunk := int(min(s.Length/3*3+3, base64Chunk)) // small parts are many
	open := func() io.Reader { return &base64Reader{src: s.Open(), chunk: chunk, encoding: encoding} }
	return Segment{Open: open, Length: int64(encoding.EncodedLen(int(s.Length)))}
}

// base64Chunk is the most that is read at a time; a multiple of 3, so that no padding falls inside.
const base64Chunk = 24 << 10

// base64Reader encodes what it reads from src.
type base64Reader struct {
	src      io.Reader
	encoding *base64.Encoding
	chunk    int // bytes read at a time, a multiple of 3
	raw      []byte
	enc      []byte
	pending  []byte // of enc, not yet given out
	err      error
}

// Read returns encoded bytes until src ends.
func (r *base64Reader) Read(b []byte) (int, error) {
	if len(r.pending) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if r.raw == nil {
			r.raw = make([]byte, r.chunk)
			r.enc = make([]byte, r.encoding.EncodedLen(r.chunk))
		}
		// Not io.ReadFull: its io.ErrUnexpectedEOF is either the end or a source's own failure.
		n := 0
		for n < len(r.raw) && r.err == nil {
			var got int
			got, r.err = r.src.Read(r.raw[n:])
			n += got
		}
		if r.err != nil && r.err != io.EOF {
			return 0, r.err
		}
		r.encoding.Encode(r.enc, r.raw[:n])
		r.pending = r.enc[:r.encoding.EncodedLen(n)]
	}
	n := copy(b, r.pending)
	if r.pending = r.pending[n:]; len(r.pending) == 0 && n == 0 {
		return 0, r.err
	}
	return n, nil
}

// Object builds a JSON object whose files are streams. One field stands on each line, so that
// people can read what `mailhatch render` shows.
type Object struct {
	done  Payload
	buf   bytes.Buffer
	enc   *json.Encoder // to buf
	inner bool          // a field was written already
}

// spareRoom is what a message needs besides its texts, most of the time.
const spareRoom = 1 << 10

// Field writes a field of the object.
func (j *Object) Field(name string, value any) {
	j.Name(name)
	j.Value(value)
}

// Name starts a field whose value is written next.
func (j *Object) Name(name string) {
	if j.inner {
		j.Raw(",\n")
	} else {
		j.Raw("{\n")
	}
	j.inner = true
	j.Raw(`"` + name + `":`) // a name of this program, nothing to escape
}

// Fields writes a field that is an object of strings.
func (j *Object) Fields(name string, list Fields) {
	j.Name(name)
	j.strings(list)
}

func (j *Object) strings(list Fields) {
	j.Raw("{")
	for i, f := range list {
		if i > 0 {
			j.Raw(",")
		}
		j.Value(f.Name)
		j.Raw(":")
		j.Value(f.Value)
	}
	j.Raw("}")
}

// Files writes a field that is an array of objects: strings, and one that is a stream of base64, named by content.
func (j *Object) Files(name, content string, list []File, file func(File) ([]Field, Segment, error)) error {
	for i, f := range list {
		if i == 0 {
			j.Name(name)
			j.Raw("[\n{")
		} else {
			j.Raw(",\n{")
		}
		fields, data, err := file(f)
		if err != nil {
			return err
		}
		for _, f := range fields {
			j.Value(f.Name)
			j.Raw(":")
			j.Value(f.Value)
			j.Raw(",")
		}
		j.Raw(`"` + content + `":"`)
		j.Segment(data)
		j.Raw(`"}`)
	}
	if len(list) > 0 {
		j.Raw("\n]")
	}
	return nil
}

// Raw writes JSON text as it is.
func (j *Object) Raw(s string) { j.buf.WriteString(s) }

// Value writes a value of strings, numbers, booleans, slices and structs of these.
func (j *Object) Value(v any) {
	if j.enc == nil {
		j.enc = json.NewEncoder(&j.buf)
		j.enc.SetEscapeHTML(false)
	}
	if err := j.enc.Encode(v); err != nil {
		panic("upstream: a value that JSON has no form for: " + err.Error()) // by our own code only
	}
	j.buf.Truncate(j.buf.Len() - 1) // the line end that Encode adds
}

// Stream writes a field whose value is a string that needs no escapes.
func (j *Object) Stream(name string, s Segment) {
	j.Name(name)
	j.Raw(`"`)
	j.Segment(s)
	j.Raw(`"`)
}

// Segment writes a segment as it is.
func (j *Object) Segment(s Segment) {
	j.flush()
	j.done = append(j.done, s)
}

// Splice writes segments that another Object made.
func (j *Object) Splice(p Payload) {
	j.flush()
	j.done = append(j.done, p...)
}

func (j *Object) flush() {
	if j.buf.Len() > 0 {
		j.done = append(j.done, Segment{Literal: j.buf.Bytes()})
		j.buf = bytes.Buffer{}
	}
}

// Rest starts fields that are spliced in behind others, with place for those of the texts that are in memory.
func Rest(texts ...Text) *Object {
	n := 0
	for _, t := range texts {
		n += len(t.small)
	}
	j := &Object{inner: true}
	j.buf.Grow(n + n/16 + spareRoom)
	return j
}

// Part returns the fields so far, to be spliced in.
func (j *Object) Part() Payload {
	j.flush()
	return j.done
}

// End closes the object and returns the body.
func (j *Object) End() Payload {
	j.Raw("\n}\n")
	return j.Part()
}

// Fields is an object of strings in a given order.
type Fields []Field

// MarshalJSON keeps the order, which a map would not.
func (h Fields) MarshalJSON() ([]byte, error) {
	var j Object
	j.strings(h)
	return j.buf.Bytes(), nil
}

// ReadObject reads a JSON object in the order of its names; values other than strings stay JSON. The name by which
// messages are found again is left out.
func ReadObject(raw []byte) (Fields, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	delete(fields, IDName)
	var out Fields
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := string(fields[name])
		if text := ""; json.Unmarshal(fields[name], &text) == nil {
			value = text
		}
		out = append(out, Field{name, value})
	}
	return out, nil
}

// IDName is the name under which providers keep the queue id.
const IDName = "mailhatch_id"
