package trial

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// world is a queue and its upstreams, which change at a time.
type world struct {
	messages []queue.Message
	records  []queue.Record
	up       map[string]gate.Status
	then     func() // after a second
	began    time.Time
	searches int
	broken   string // the method that fails
}

func (w *world) turn() {
	if then := w.then; then != nil && time.Since(w.began) >= time.Second {
		w.then = nil
		then()
	}
}

func (w *world) fail(method string) error {
	if w.broken == method {
		return errors.New("EIO")
	}
	return nil
}

func (w *world) List(context.Context, queue.Filter, queue.Page) ([]queue.Message, error) {
	w.turn()
	return w.messages, w.fail("List")
}

func (w *world) Search(_ context.Context, f queue.HistoryFilter) (list []queue.Record, err error) {
	w.searches++
	for _, r := range w.records {
		if r.ID == f.ID && (f.To == "" || r.Recipient.Address == f.To || r.Recipient.Address == hidden(f.To)) {
			list = append(list, r)
		}
	}
	return list, w.fail("Search")
}

// hidden is what the history keeps of an address with privacy = "addresses".
func hidden(address string) string { return "~" + strings.ToUpper(address) }

func (w *world) why(_ context.Context, list []queue.Message) (*waiting.View, error) {
	if list == nil {
		return &waiting.View{Running: true, Now: time.Now()}, w.fail("Begin")
	}
	return &waiting.View{Running: true, Now: time.Now(), Upstreams: w.up}, w.fail("Why")
}

func part(lane string, to ...string) queue.Part {
	p := queue.Part{Lane: lane, State: envelope.Queued}
	for _, a := range to {
		p.To = append(p.To, envelope.Recipient{Address: a})
	}
	return p
}

func message(id string, parts ...queue.Part) queue.Message {
	return queue.Message{ID: id, Parts: parts}
}

// tried is a part after an offer.
func tried(p queue.Part, words string) queue.Part {
	p.Progress = envelope.Progress{Attempts: 1, Upstream: p.Lane, LastAttempt: time.Now(), Error: words}
	p.NextAt = time.Now().Add(time.Hour)
	return p
}

// refusedFrom is a part of mail with the From a@x.org that waits for that, and was tried last at a time.
func refusedFrom(to string, last time.Time) queue.Part {
	p := part("a", to)
	p.NextAt, p.Progress = time.Now().AddDate(100, 0, 0), envelope.Progress{RefusedFrom: "a@x.org", LastAttempt: last, Error: "403: its own", Upstream: "a"}
	return p
}

func refusing(from, words string, tried time.Time) gate.Status {
	return gate.Status{State: "open", Refused: []gate.Refused{{From: from, Err: errors.New(words), Tried: tried}}}
}

func TestAwait(t *testing.T) {
	open, a := gate.Status{State: "open"}, func(p queue.Part) []queue.Message { return []queue.Message{message("Q1", p)} }
	paused := gate.Status{State: "closed", Pause: &gate.Pause{By: "root", At: time.Now()}}
	record := func(to string, s envelope.State, words string) queue.Record {
		return queue.Record{ID: "Q1", Recipient: envelope.Recipient{Address: to}, State: s, Upstream: "a", Error: words}
	}
	for _, row := range []struct {
		name  string
		begin []queue.Message
		up    gate.Status
		then  func(w *world)
		took  time.Duration // about
		want  []Fate
	}{
		{"it is sent", a(part("a", "x@y")), open,
			func(w *world) { w.messages, w.records = nil, []queue.Record{record("x@y", envelope.Sent, "")} }, time.Second,
			[]Fate{{ID: "Q1", To: []string{"x@y"}, Upstream: "a", Outcome: Sent}}},
		{"some are sent, one is refused, one was not chosen", []queue.Message{message("Q1", part("a", "x@y", "y@y", "z@y"))}, open,
			func(w *world) {
				w.messages = []queue.Message{message("Q1", tried(part("a", "z@y"), "450: later"), part("a", "other@y"))}
				w.records = []queue.Record{record("x@y", envelope.Sent, ""), record("y@y", envelope.Sent, ""), record("before@y", envelope.Failed, "550")}
			}, time.Second,
			[]Fate{{ID: "Q1", To: []string{"z@y"}, Upstream: "a", Outcome: Refused, Words: "450: later"},
				{ID: "Q1", To: []string{"x@y", "y@y"}, Upstream: "a", Outcome: Sent}}},
		{"the history hides addresses", a(part("a", "x@y", "y@y")), open,
			func(w *world) {
				w.messages = nil
				w.records = []queue.Record{record(hidden("z@y"), envelope.Failed, "550"), record(hidden("x@y"), envelope.Sent, ""), record(hidden("y@y"), envelope.Sent, "")}
			}, time.Second,
			[]Fate{{ID: "Q1", To: []string{"x@y", "y@y"}, Upstream: "a", Outcome: Sent}}},
		{"the upstream refuses other mail", a(part("a", "x@y")), gate.Status{State: "closed", Reason: "account", LastError: "401: key"},
			func(w *world) {
				w.up["a"] = gate.Status{State: "closed", Reason: "account", LastError: "401: still", Tried: time.Now()}
			}, time.Second,
			[]Fate{{ID: "Q1", To: []string{"x@y"}, Upstream: "a", Outcome: Refused, Words: "401: still"}}},
		{"its From is refused still, as other mail shows", a(refusedFrom("x@y", time.Time{})), refusing("a@x.org", "403: no", time.Time{}),
			func(w *world) { w.up["a"] = refusing("a@x.org", "403: still no", time.Now()) }, time.Second,
			[]Fate{{ID: "Q1", To: []string{"x@y"}, Upstream: "a", Outcome: Refused, Words: "403: still no"}}},
		{"its From is taken again", a(refusedFrom("x@y", time.Time{})), open,
			func(w *world) { w.messages, w.records = nil, []queue.Record{record("x@y", envelope.Sent, "")} }, time.Second,
			[]Fate{{ID: "Q1", To: []string{"x@y"}, Upstream: "a", Outcome: Sent}}},
		{"another From is refused", a(refusedFrom("x@y", time.Time{})), refusing("a@x.org", "403: no", time.Time{}),
			func(w *world) {
				w.up["a"] = gate.Status{State: "open", Refused: append(refusing("a@x.org", "403: no", time.Time{}).Refused, refusing("b@x.org", "403", time.Now()).Refused...)}
			}, 10 * time.Second,
			[]Fate{{ID: "Q1", To: []string{"x@y"}, Upstream: "a", Outcome: Waits, Words: "waits for a, which refuses mail from a@x.org: 403: no; next try now", WhyCode: waiting.Sender}}},
		{"it is refused for its From", a(refusedFrom("x@y", time.Time{})), refusing("a@x.org", "403: no", time.Time{}),
			func(w *world) {
				w.up["a"] = refusing("a@x.org", "403: new", time.Now())
				w.messages = a(refusedFrom("x@y", time.Now()))
			}, time.Second,
			[]Fate{{ID: "Q1", To: []string{"x@y"}, Upstream: "a", Outcome: Refused, Words: "403: its own"}}},
		{"nobody knows", a(part("a", "x@y")), open,
			func(w *world) {
				p := tried(part("a", "x@y"), "reply lost")
				p.Progress.Uncertain = true
				w.messages = a(p)
			}, time.Second,
			[]Fate{{ID: "Q1", To: []string{"x@y"}, Upstream: "a", Outcome: Uncertain, Words: "reply lost"}}},
		{"it fails", a(part("a", "x@y")), open,
			func(w *world) {
				p := tried(part("a", "x@y"), "550: no")
				p.State = envelope.Failed
				w.messages = a(p)
			}, time.Second,
			[]Fate{{ID: "Q1", To: []string{"x@y"}, Upstream: "a", Outcome: Failed, Words: "550: no"}}},
		{"it goes on to another upstream and is sent there", a(part("a", "x@y")), open,
			func(w *world) {
				p := tried(part("b", "x@y"), "401: key")
				p.NextAt = time.Time{}
				w.messages, w.up["b"] = a(p), open
				w.began, w.then = time.Now(), func() {
					w.messages, w.records = nil, []queue.Record{{ID: "Q1", Recipient: envelope.Recipient{Address: "x@y"}, State: envelope.Sent, Upstream: "b"}}
				}
			}, 2 * time.Second,
			[]Fate{{ID: "Q1", To: []string{"x@y"}, Upstream: "b", Outcome: Sent}}},
		{"paused: at once", a(part("a", "x@y")), paused, nil, 0,
			[]Fate{{ID: "Q1", To: []string{"x@y"}, Upstream: "a", Outcome: Waits, Words: paused.Pause.String(), WhyCode: waiting.Paused}}},
		{"held: at once", a(queue.Part{To: part("", "x@y").To, State: envelope.Held}), open, nil, 0,
			[]Fate{{ID: "Q1", To: []string{"x@y"}, Outcome: Held, Words: "held", WhyCode: waiting.Held}}},
		{"its turn does not come", a(part("a", "x@y")), open, nil, 10 * time.Second,
			[]Fate{{ID: "Q1", To: []string{"x@y"}, Upstream: "a", Outcome: Waits, Words: "it is due", WhyCode: waiting.Turn}}},
		{"the probe does not end", a(part("a", "x@y")), gate.Status{State: "closed", LastError: "down"}, nil, 10 * time.Second,
			[]Fate{{ID: "Q1", To: []string{"x@y"}, Upstream: "a", Outcome: Waits, Words: "waits for a (closed: down; probe now)", WhyCode: waiting.Closed}}},
		{"no upstream, and it is routed anew in vain", a(part("gone", "x@y")), open,
			func(w *world) {
				p := part("gone", "x@y")
				p.NextAt = time.Now().Add(30 * time.Second)
				w.messages = a(p)
			}, time.Second,
			[]Fate{{ID: "Q1", To: []string{"x@y"}, Upstream: "gone", Outcome: Waits, Words: "no gateway serves upstream gone; it is routed again in 30 s", WhyCode: waiting.NotServed}}},
		{"nothing was chosen", nil, open, nil, 0, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{messages: row.begin, up: map[string]gate.Status{"a": row.up}, began: time.Now()}
				if row.then != nil {
					w.then = func() { row.then(w) }
				}
				trial, err := Begin(t.Context(), w, w.why, row.begin)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Millisecond)
				began := time.Now()
				got, err := trial.Await(t.Context(), 10*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(row.want, got); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
				if took := time.Since(began); took < row.took-time.Millisecond || took > row.took+time.Second {
					t.Errorf("it took %v, want %v", took, row.took)
				}
				if w.searches > 3 {
					t.Errorf("%d searches", w.searches)
				}
			})
		})
	}
}

// TestErrors: errors of the queue come through, and whoever asked may leave.
func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := []queue.Message{message("Q1", part("a", "x@y"))}
		for _, broken := range []string{"Begin", "List", "Why", "Search"} {
			w := &world{messages: list, up: map[string]gate.Status{"a": {State: "open"}}, broken: broken}
			if broken == "Search" {
				w.messages = nil
			}
			trial, err := Begin(t.Context(), w, w.why, list)
			if err == nil {
				_, err = trial.Await(t.Context(), time.Second)
			}
			if err == nil {
				t.Errorf("an error of %s is lost", broken)
			}
		}
		w := &world{messages: list, up: map[string]gate.Status{"a": {State: "open"}}}
		trial, err := Begin(t.Context(), w, w.why, list)
		if err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		leave()
		if _, err := trial.Await(ctx, time.Second); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
