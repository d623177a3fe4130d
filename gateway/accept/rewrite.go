package accept

import (
	"context"
	"io"
	"time"

	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
)

// Prepare returns the message as acceptance would store it, its envelope rewritten, and what each
// [[rewrite]] rules changed: for commands that show what would happen. It changes env.
func Prepare(cfg *config.Config, env *envelope.Envelope, msg *mime.Message, id string) (*mime.Message, []route.RewriteVerdict, error) {
	now := time.Now()
	completed, err := msg.With(cfg.Identity.Complete(msg.Header, env, id, now)...)
	if err != nil {
		return nil, nil, err
	}
	mail := &route.Mail{Envelope: env, Header: completed.HeaderBytes(), Size: completed.Source.Size()}
	verdicts, err := cfg.Rewrites.Explain(mail)
	if err != nil {
		return nil, nil, err
	}
	header := mime.EditHeader(mail.Header, received(cfg, mail, id, now))
	rest := int64(len(completed.HeaderBytes()))
	prepared, err := mime.Parse(mime.Concat(mime.NewBytesSource(header),
		mime.Section(completed.Source, rest, completed.Source.Size()-rest)))
	return prepared, verdicts, err
}

// received returns the trace field. Where rules replaced recipients it names none: it would show those
// that the header does not.
func received(cfg *config.Config, m *route.Mail, id string, now time.Time) mime.Edit {
	env := *m.Envelope
	if m.Redirected {
		env.To = nil
	}
	return identity.Received(&env, cfg.Hostname, id, now)
}

// measured returns what follows the header. Where rules ask for sizes it is written down first, and size
// is how long it is. The caller calls done when it has read all.
func (a *Acceptor) measured(ctx context.Context, cfg *config.Config, rest io.Reader) (again io.Reader, size int64, done func(), err error) {
	if !cfg.Rewrites.NeedSize() {
		return rest, 0, func() {}, nil
	}
	body, done, err := a.spool(ctx, rest)
	if err != nil {
		return nil, 0, nil, err
	}
	return io.NewSectionReader(body, 0, body.Size()), body.Size(), done, nil
}

// spool writes down what r reads. The caller calls done when it has read that again. Errors are as those of store.
func (a *Acceptor) spool(ctx context.Context, r io.Reader) (body queue.Body, done func(), err error) {
	draft, err := a.Queue.New(ctx)
	if err != nil {
		return nil, nil, a.storeReply(err)
	}
	done = func() { _ = draft.Discard() } // what is left of it goes at the next start
	if err := a.store(draft, r); err != nil {
		done()
		return nil, nil, err
	}
	if body, err = draft.Body(); err != nil {
		done()
		return nil, nil, a.storeReply(err)
	}
	return body, done, nil
}

// store writes to a draft. Errors come from r, or are a *envelope.Reply.
func (a *Acceptor) store(draft queue.Draft, r io.Reader) error {
	w := &storeWriter{w: draft}
	_, err := io.Copy(w, r)
	if w.err != nil {
		return a.storeReply(w.err)
	}
	return err
}
