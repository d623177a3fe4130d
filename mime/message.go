// Package mime reads Internet messages (RFC 5322, RFC 2045) without losing a byte and edits their
// headers without touching the rest.
//
// A message stays where it is: what is parsed are offsets into its [Source]; contents are read and
// decoded when somebody asks, in a stream. A malformed message is never an error: what cannot be
// understood stays available as bytes and says so in a defect.
package mime

import (
	"io"
	"time"
)

// Source is where the bytes of a message are.
type Source interface {
	io.ReaderAt
	Size() int64
}

// Message is a parsed message.
type Message struct {
	Source Source
	Header Header
	Root   *Part // the message's own body as the top of the tree of parts

	From      []Address // empty when there is none that can be read
	Sender    *Address
	ReplyTo   []Address
	To, Cc    []Address // members of groups included
	Subject   string    // decoded
	Date      time.Time // zero when missing or unreadable
	MessageID string    // with brackets, "" when missing
}

// Address is one mailbox.
type Address struct {
	Name string // decoded display name
	Addr string // local@domain; the local part quoted where RFC 5321 wants it
}

// Part is a node of the tree: a leaf with content, or a multipart with children.
type Part struct {
	Header      Header
	Type        string            // "text/plain" in lower case; RFC 2045 5.2 default where missing or unreadable
	Params      map[string]string // parameters of Content-Type, names in lower case, values decoded (RFC 2231)
	Disposition string            // "inline", "attachment", another token in lower case, or "" where missing
	Name        string            // file name from Content-Disposition or Content-Type, decoded, "" where missing
	ContentID   string            // without brackets
	Encoding    string            // Content-Transfer-Encoding in lower case, "" where missing
	Children    []*Part           // of a multipart; message/rfc822 is a leaf
	Defect      error             // why the content cannot be decoded as it is labelled; nil when it can

	source     Source
	start, end int64 // offsets of the body in source
}

// Content is a message as JSON APIs see it: bodies, alternatives and attachments. Each leaf of the
// tree is in exactly one place.
type Content struct {
	Text, HTML   *Body        // nil where there is none
	Alternatives []*Part      // other ways to show the body: text/calendar, text/x-amp-html
	Attachments  []Attachment // all the rest, in order
	Opaque       string       // why the message must not be taken apart: "multipart/signed", … ; "" where it may be
}

// Body is a text body decoded to UTF-8 with LF or CRLF as it came.
type Body struct {
	Text string
	Part *Part
}

// Attachment is a part that travels as a file.
type Attachment struct {
	Part      *Part
	Name      string // never empty: made from the type where the part has none
	Type      string // "text/calendar; method=REQUEST": media type with its parameters but name=
	Inline    bool   // shown in the HTML body through its ContentID
	ContentID string // without brackets, "" where missing
}

// Parse reads a message. Errors are those of reading src.
func Parse(src Source) (*Message, error) { panic("to be written") }

// Content sorts the parts for an API that takes bodies and attachments apart. Errors are those of
// reading the source.
func (m *Message) Content() (*Content, error) { panic("to be written") }

// Open reads the decoded content: transfer encoding removed, charset untouched. With a Defect it
// gives the bytes as they stand in the message.
func (p *Part) Open() io.Reader { panic("to be written") }

// Raw reads the content as it stands in the message, still encoded.
func (p *Part) Raw() io.Reader { panic("to be written") }

// DecodedSize counts the bytes that Open gives.
func (p *Part) DecodedSize() (int64, error) { panic("to be written") }

// Header is the fields of a message or a part in their order.
type Header []Field

// Field is one header field with its bytes as they came, folding and line end included.
type Field struct {
	Name string // as written, without colon; "" for a line that is no field
	Raw  []byte
}

// Get gives the first field of that name, unfolded, not decoded; "" when missing.
func (h Header) Get(name string) string { panic("to be written") }

// Values gives all fields of that name, unfolded, not decoded.
func (h Header) Values(name string) []string { panic("to be written") }

// Text gives the first field of that name decoded (RFC 2047), as valid UTF-8.
func (h Header) Text(name string) string { panic("to be written") }

// Value gives the field unfolded, not decoded.
func (f Field) Value() string { panic("to be written") }

// Edit is one change of a header.
type Edit struct {
	Op    EditOp
	Name  string
	Value string // encoded and folded by Apply where needed
}

// EditOp is a kind of change.
type EditOp int

const (
	Remove  EditOp = iota // all fields of that name; Name may end in * ("X-Mailgun-*")
	Replace               // the first field of that name where it stands, further ones go; else append
	Append                // at the end of the header
	Prepend               // at the top: trace fields
)

// EditHeader applies edits to the raw header (with or without its final empty line) and leaves
// every other byte as it was.
func EditHeader(raw []byte, edits ...Edit) []byte { panic("to be written") }

// With gives a message with an edited header and the same body; m stays as it is.
func (m *Message) With(edits ...Edit) (*Message, error) { panic("to be written") }

// HeaderBytes gives the raw header without the empty line that ends it.
func (m *Message) HeaderBytes() []byte { panic("to be written") }

// BodyOffset is where the body starts in Source, after the empty line.
func (m *Message) BodyOffset() int64 { panic("to be written") }

// ReadHeader reads a header up to and including the empty line from the start of a message, at most
// max bytes; rest gives what follows. A message without an empty line is all header.
func ReadHeader(r io.Reader, max int) (raw []byte, rest io.Reader, err error) { panic("to be written") }

// ParseHeader splits a raw header into fields. Lines that are no fields are kept with an empty name.
func ParseHeader(raw []byte) Header { panic("to be written") }

// ParseAddressList reads an address list, obsolete and broken syntax included ("root (Cron Daemon)",
// groups, raw 8-bit names). What cannot be read is left out and told in err beside the rest.
func ParseAddressList(s string) ([]Address, error) { panic("to be written") }

// String gives the address for a header: RFC 2047 where needed, names quoted where needed.
func (a Address) String() string { panic("to be written") }
