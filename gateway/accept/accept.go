// Package accept is one message's way in: its identity is completed, rules rewrite and route it, upstreams
// look at what they would have to carry, and then it is made durable in the queue, or delivered directly.
package accept

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"mailhatch/gateway/budget"
	"mailhatch/gateway/clock"
	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/gateway/suppression"
	"mailhatch/mime"
)

const maxHeader = 1 << 20 // bytes of a header; far beyond real ones

// Acceptor accepts messages from every source.
type Acceptor struct {
	Queue     queue.Queue
	Journal   *journal.Journal
	Deliverer *deliver.Deliverer
	Config    func() *config.Config // the config in force
	Memory    *budget.Memory        // that messages are taken apart in
	Clock     *clock.Clock          // nil: the wall clock
	Gateway   string                // the name of this one among those that share the queue; "": none does

	Suppressed suppression.Lookup // who gets no mail; nil: everybody does
}

// accept makes a message durable and returns its queue id. Errors are *envelope.Reply, or come from body.
// Of a late message the sender no longer waits for an answer: recipients that the routes refuse are
// bounced, even if they are all it has, and so are bad ones, which are not in env.
func (a *Acceptor) accept(ctx context.Context, env *envelope.Envelope, body io.Reader, late bool, bad ...identity.Ending) (id string, err error) {
	in, err := a.receive(ctx, env, body, bad)
	if err != nil {
		return "", err
	}
	defer in.close()
	return a.commit(ctx, in, late, nil)
}

// commit routes what was received and makes it durable. reports are the late bounces that it reports.
func (a *Acceptor) commit(ctx context.Context, in *incoming, late bool, reports []string) (id string, err error) {
	parts, err := a.parts(ctx, in)
	if err != nil && !late {
		return "", in.refusal(err)
	}
	start := time.Now()
	kept := in.kept(parts, nil)
	kept.Reports = reports
	err = in.draft.Commit(ctx, kept)
	if errors.Is(err, queue.ErrReported) {
		return "", err
	}
	if err != nil {
		return "", in.refusal(a.storeReply(err))
	}
	a.accepted(in, time.Since(start))
	return in.id, nil
}

// accepted logs a message that was accepted.
func (a *Acceptor) accepted(in *incoming, took time.Duration) {
	to := make([]string, 0, len(in.env.To)+len(in.ended))
	for _, r := range in.env.To {
		to = append(to, r.Address)
	}
	for _, e := range in.ended {
		to = append(to, e.Recipient.Address)
	}
	client := "local"
	if addr := in.env.Client.Addr; addr.IsValid() { // the name that it gave in EHLO proves nothing
		client = addr.String()
	}
	a.Journal.Accepted(journal.Accepted{ID: in.id, MessageID: in.msg.MessageID, From: in.env.From, To: to, Size: in.size,
		Client: client, User: in.env.Client.User, Listener: in.env.Client.Listener, Rewritten: in.rewritten, Took: took})
	a.endings(in)
}

// incoming is a message whose bytes are written but not yet promised.
type incoming struct {
	cfg       *config.Config
	env       envelope.Envelope // after aliases and rewriting
	ended     []identity.Ending // recipients beside those of env: no address, or an alias that leads to none
	copies    map[string]bool   // recipients that rules added, in lower case
	rewritten []string          // names of the rules that applied
	id        string            // of draft
	draft     queue.Draft
	release   func() // of the memory; nil: it takes none
	raw       []byte // the header as it came; nil: it was not read yet
	body      queue.Body
	msg       *mime.Message // nil: not written yet
	size      int64
	decisions []route.Decision // for each recipient
	refusals  map[string]error // by upstream: why it cannot carry the message; nil: it can
}

// receive writes a message into a draft: trace field, completed header, body as it comes.
func (a *Acceptor) receive(ctx context.Context, given *envelope.Envelope, body io.Reader, bad []identity.Ending) (*incoming, error) {
	draft, err := a.Queue.New(ctx)
	if err != nil {
		return nil, a.storeReply(err)
	}
	in := &incoming{cfg: a.Config(), env: *given, id: draft.ID(), draft: draft, ended: bad}
	in.env.Gateway = a.Gateway
	if err := a.write(ctx, in, body); err != nil {
		in.close()
		return nil, in.refusal(err)
	}
	return in, nil
}

// close gives up what is not committed, and the memory.
func (in *incoming) close() {
	_ = in.draft.Discard() // what is left of it goes at the next start
	if in.release != nil {
		in.release()
	}
}

// memoryTime is how long a message waits for memory; clients wait ten minutes (RFC 5321 4.5.3.2.6).
const memoryTime = time.Minute

// acquire waits until a message with a header of that many bytes may be taken apart. It has the memory from then on. The
// error is a *envelope.Reply.
func (a *Acceptor) acquire(ctx context.Context, in *incoming, header int) error {
	n := a.Memory.Weight(in.size, int64(header))
	if n == 0 || in.release != nil {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, memoryTime)
	defer cancel()
	release, err := a.Memory.Acquire(wait, n)
	if err != nil {
		return &envelope.Reply{Code: 452, Enhanced: [3]int{4, 3, 1}, Text: "too many large messages at once, try again later"}
	}
	in.release = release
	return nil
}

func (a *Acceptor) write(ctx context.Context, in *incoming, body io.Reader) error {
	raw, rest, read, err := a.open(ctx, in, body)
	if err != nil {
		return err
	}
	defer read()
	rest, size, done, err := a.measured(ctx, in.cfg, rest)
	if err != nil {
		return err
	}
	defer done()
	in.raw = raw
	header, err := a.complete(in, raw, size)
	if err != nil {
		return err
	}
	if _, err := in.draft.Write(header); err != nil {
		return a.storeReply(err)
	}
	if err := a.store(in.draft, rest); err != nil {
		return err
	}
	return a.parse(ctx, in, len(header))
}

// open reads the header of a message; rest is what follows. A message with a large one is written down first, and waits
// there for its memory: a client may take its time, and many that wait would hold more than is to be had. The caller calls
// done when it has read the rest. Errors come from body, or are a *envelope.Reply.
func (a *Acceptor) open(ctx context.Context, in *incoming, body io.Reader) (raw []byte, rest io.Reader, done func(), err error) {
	raw, rest, err = mime.ReadHeader(body, budget.LightHeader)
	if !errors.Is(err, mime.ErrHeaderTooLarge) {
		return raw, rest, func() {}, err
	}
	whole, done, err := a.spool(ctx, io.MultiReader(bytes.NewReader(raw), rest))
	if err != nil {
		return nil, nil, nil, err
	}
	in.size = whole.Size()
	header, err := mime.HeaderSize(whole)
	if err != nil {
		err = a.storeReply(err)
	} else if err = a.acquire(ctx, in, int(header)); err == nil {
		raw, rest, err = readHeader(io.NewSectionReader(whole, 0, whole.Size()))
	}
	if err != nil {
		done()
		return nil, nil, nil, err
	}
	return raw, rest, done, nil
}

// readHeader reads the header of a message. Errors come from r, or are a *envelope.Reply.
func readHeader(r io.Reader) (raw []byte, rest io.Reader, err error) {
	raw, rest, err = mime.ReadHeader(r, maxHeader)
	if errors.Is(err, mime.ErrHeaderTooLarge) {
		err = &envelope.Reply{Code: 552, Enhanced: [3]int{5, 3, 4}, Text: fmt.Sprintf("the header is longer than %d bytes or 100,000 lines", maxHeader)}
	}
	return raw, rest, err
}

// checkHops refuses a message that goes in circles.
func checkHops(fields mime.Header) error {
	if identity.Hops(fields) < identity.MaxHops {
		return nil
	}
	return &envelope.Reply{Code: 554, Enhanced: [3]int{5, 4, 6}, Text: fmt.Sprintf("mail loop: %d hops already", identity.MaxHops)}
}

// complete returns the header as it is stored before a body of that size, and completes the envelope.
func (a *Acceptor) complete(in *incoming, raw []byte, size int64) ([]byte, error) {
	cfg := in.cfg
	fields := mime.ParseHeader(raw)
	if err := checkHops(fields); err != nil {
		return nil, err
	}
	in.env.Received = a.Clock.Now()
	in.env.From = cfg.Identity.Qualify(in.env.From)
	to, ended := cfg.Aliases.Expand(cfg.Identity, in.env.To)
	in.env.To, in.ended = to, append(in.ended, ended...)
	header := mime.EditHeader(raw, cfg.Identity.Complete(fields, &in.env, in.id, in.env.Received)...)
	mail := &route.Mail{Envelope: &in.env, Header: header, Size: int64(len(header)) + size}
	if len(in.env.To) > 0 { // rules have no say about mail that goes nowhere
		if err := cfg.Rewrites.Apply(mail); err != nil {
			return nil, err
		}
	}
	in.copies, in.rewritten = mail.Copies, mail.Applied
	return mime.EditHeader(mail.Header, received(cfg, mail, in.id, in.env.Received)), nil
}

// parse reads what was written back: rules and upstreams judge the bytes that will be delivered.
func (a *Acceptor) parse(ctx context.Context, in *incoming, header int) error {
	body, err := in.draft.Body()
	if err != nil {
		return a.storeReply(err)
	}
	in.body, in.size = body, body.Size()
	if err := a.acquire(ctx, in, header); err != nil {
		return err
	}
	if in.msg, err = mime.Parse(body); err != nil {
		return a.storeReply(err)
	}
	in.raw = nil
	return nil
}

// storeReply is the answer to a client whose mail could not be kept.
func (a *Acceptor) storeReply(err error) error {
	a.Journal.InternalError("queue", err)
	if errors.Is(err, queue.ErrFull) {
		return &envelope.Reply{Code: 452, Enhanced: [3]int{4, 3, 1}, Text: "no space left to keep the message, try again later"}
	}
	return &envelope.Reply{Code: 451, Enhanced: [3]int{4, 3, 0}, Text: "the message could not be kept, try again later"}
}
