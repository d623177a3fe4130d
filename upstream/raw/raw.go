// Package raw is what the kinds share whose API takes a message as it is: the header made fit to leave, and the
// bytes in the form that a request carries.
package raw

import (
	"slices"
	"strings"

	"mailhatch/mime"
	"mailhatch/mime/wire"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Form is how an API takes messages.
type Form struct {
	Provider string // for messages: "Mailgun"
	Bytes    int64  // of a message
	Larger   string // what takes larger ones: "an smtp upstream"; "": nothing known
	Domain   string // of a Message-ID that is made up; "": that of From
	Options  string // pattern of fields that the request has in another form; "": none
	NewID    bool   // the provider replaces Message-ID: the old one stays in other fields, see [wire.KeepID]

	// Edits returns what a header needs besides to be one that the API takes; nil: nothing.
	Edits func(m *upstream.Mail, h mime.Header) []mime.Edit
	// Check returns why the API does not take a message with this header, which is the one that would leave; nil: all is taken.
	Check func(h mime.Header) *upstream.Error

	sevenBit bool // the message leaves in its 7-bit form, see [Form.Text]
}

// Refuses returns the error that Message would have for a mail that is small for the API.
func (f Form) Refuses(m *upstream.Mail) *upstream.Error {
	_, e := f.missingFields(m)
	return e
}

// Message edits the header: out goes what must not be seen or would steer a provider, in comes what the provider
// needs and more, and all is made fit for the relays behind the API, see [wire.Fit] and [wire.ShortLines]. Every other
// byte stays, in its 7-bit form where the API needs that.
func (f Form) Message(m *upstream.Mail, more ...mime.Edit) (mime.Source, *upstream.Error) {
	edits := []mime.Edit{{Op: mime.Remove, Name: "Bcc"}, {Op: mime.Remove, Name: "Resent-Bcc"}, {Op: mime.Remove, Name: "Return-Path"}}
	edits = append(edits, m.WithoutControl()...)
	if f.Options != "" {
		edits = append(edits, mime.Edit{Op: mime.Remove, Name: f.Options})
	}
	edits = append(edits, mime.Edit{Op: mime.Mend}) // providers refuse headers with lines that are not fields
	if f.NewID {
		edits = append(edits, wire.KeepID(m.Message.Header)...)
	}
	missing, e := f.missingFields(m)
	if e != nil {
		return nil, e
	}
	msg, err := wire.Fit(m.Message, slices.Concat(edits, missing, more)...)
	if err == nil && f.Edits != nil {
		msg, err = msg.With(f.Edits(m, msg.Header)...)
	}
	if err != nil {
		return nil, &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	if f.sevenBit {
		if msg, e = to7Bit(msg, f.Provider); e != nil {
			return nil, e
		}
	}
	if n := msg.Source.Size(); n > f.Bytes {
		hint := ""
		if f.Larger != "" {
			hint = "; " + f.Larger + " takes more"
		}
		return nil, api.Errorf(upstream.Unrepresentable, "5.3.4", "the message has %d bytes; %s takes %d%s", n, f.Provider, f.Bytes, hint)
	}
	short, _, err := wire.ShortLines(msg)
	if err != nil {
		return nil, &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	if short.Source.Size() <= f.Bytes { // else better with long lines than not at all
		msg = short
	}
	if f.Check != nil {
		if e := f.Check(msg.Header); e != nil {
			return nil, e
		}
	}
	return msg.Source, nil
}

// missingFields adds the fields without which providers refuse a message or make up their own.
func (f Form) missingFields(m *upstream.Mail) ([]mime.Edit, *upstream.Error) {
	var edits []mime.Edit
	from, e := api.From(m)
	if e != nil {
		return nil, e
	}
	for i := range from {
		// Mail with a non-ASCII address in From would not be delivered.
		if from[i].Addr, e = api.SenderForm(from[i].Addr); e != nil {
			return nil, e
		}
	}
	if !slices.ContainsFunc(m.Message.From, func(a mime.Address) bool { return strings.Contains(a.Addr, "@") }) {
		edits = append(edits, mime.Edit{Op: mime.Replace, Name: "From", Value: from[0].String()})
	}
	if m.Message.MessageID == "" {
		domain := f.Domain
		if domain == "" {
			_, domain, _ = mime.SplitAddress(from[0].Addr)
		}
		edits = append(edits, mime.Edit{Op: mime.Replace, Name: "Message-ID", Value: "<" + m.ID + "@" + domain + ">"})
	}
	return edits, nil
}

// Changes lists what happens to every message on its way through such an API.
func Changes() []string {
	return []string{
		"the message is sent unchanged, without Bcc, Return-Path and providers' control headers",
		"a missing Message-ID is made from the queue id",
		"header lines that are not fields are indented as continuation lines or become Comments; a From without an address gets the envelope sender's",
	}
}
