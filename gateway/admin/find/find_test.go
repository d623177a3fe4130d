package find

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
)

// store is a queue that a test fills. Each message comes a second after the one before it.
type store struct {
	queue.Engine
	t     *testing.T
	clock time.Time
	names map[string]string // of the messages by their ids
}

func newStore(t *testing.T) *store {
	t.Helper()
	q, err := engines.Open(t.Context(), engines.Default, queue.Settings{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = q.Close()
	})
	return &store{q, t, time.Now().Add(-time.Hour), map[string]string{}}
}

func (s *store) add(name string, parts []queue.Part, gone ...queue.Record) {
	s.t.Helper()
	s.clock = s.clock.Add(time.Second)
	d, err := s.New(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = io.WriteString(d, "\r\n")
	m := queue.Accepted{Envelope: envelope.Envelope{From: "shop@example.com", Received: s.clock}, Parts: parts, Done: gone,
		Header: queue.Summary{Subject: "About " + name, MessageID: "<" + name + "@x>"}}
	for _, p := range parts {
		m.Envelope.To = append(m.Envelope.To, p.To...)
	}
	for i := range gone {
		gone[i].At = s.clock
		m.Envelope.To = append(m.Envelope.To, gone[i].Recipient)
	}
	if err := d.Commit(s.t.Context(), m); err != nil {
		s.t.Fatal(err)
	}
	s.names[d.ID()] = name
}

// all returns the names of all pages, a page a list.
func (s *store) all(line string, limit int) (pages [][]string) {
	s.t.Helper()
	l, err := search.Parse(line, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	for after := ""; ; {
		p, err := Messages(s.t.Context(), s, l, after, limit)
		if err != nil {
			s.t.Fatal(err)
		}
		var names []string
		for _, m := range p.Messages {
			name := fmt.Sprintf("%s %d", s.names[m.ID], len(m.Records))
			if m.Waiting != nil {
				name += fmt.Sprintf("+%d", len(m.Waiting.Parts))
			}
			names = append(names, name)
		}
		if names != nil || len(pages) == 0 {
			pages = append(pages, names)
		}
		if after = p.Next; after == "" {
			return pages
		}
		if len(pages) > 1000 {
			s.t.Fatal("there is no end")
		}
	}
}

func waits(state envelope.State, lane string, to ...string) queue.Part {
	p := queue.Part{State: state, Lane: lane}
	for _, a := range to {
		p.To = append(p.To, envelope.Recipient{Address: a})
	}
	return p
}

func went(state envelope.State, to string) queue.Record {
	return queue.Record{State: state, Upstream: "main", ProviderID: "P-" + to, Recipient: envelope.Recipient{Address: to}}
}

// TestMessages: mail that waits and mail that is gone are one list, each message once, in pages that lose none.
func TestMessages(t *testing.T) {
	s := newStore(t)
	s.add("one", nil, went(envelope.Sent, "ann@example.org"), went(envelope.Sent, "bob@example.org"))
	s.add("two", []queue.Part{waits(envelope.Queued, "bulk", "ann@example.org")})
	s.add("three", []queue.Part{waits(envelope.Held, "bulk", "eva@example.org")}, went(envelope.Sent, "ann@example.org"))
	s.add("four", nil, went(envelope.Discarded, "bob@example.org"))
	s.add("five", []queue.Part{waits(envelope.Failed, "main", "bob@example.org"), waits(envelope.Queued, "bulk", "eva@example.org")})
	s.add("six", nil, went(envelope.Failed, "ann@example.org"))
	for line, want := range map[string][]string{
		"":                              {"six 1", "five 0+2", "four 1", "three 1+1", "two 0+1", "one 2"},
		"state:queued":                  {"five 0+2", "two 0+1"},
		"state:held":                    {"three 1+1"},
		"state:failed":                  {"six 1", "five 0+2"},
		"state:sent":                    {"three 1", "one 2"},
		"state:discarded":               {"four 1"},
		"to:ann":                        {"six 1", "three 1", "two 0+1", "one 1"},
		"to:eva":                        {"five 0+2", "three 1+1"},
		"from:shop":                     {"six 1", "five 0+2", "four 1", "three 1+1", "two 0+1", "one 2"},
		"from:nobody":                   nil,
		"upstream:bulk":                 {"five 0+2", "three 1+1", "two 0+1"},
		"upstream:main to:bob":          {"five 0+2", "four 1", "one 1"},
		`"about two"`:                   {"two 0+1"},
		"message-id:<three@x>":          {"three 1+1"},
		"provider-id:P-bob@example.org": {"four 1", "one 1"},
		"since:30m":                     nil,
		"older:30m":                     {"six 1", "five 0+2", "four 1", "three 1+1", "two 0+1", "one 2"},
		"until:2h":                      nil,
		"id:nonsense":                   nil,
	} {
		if d := cmp.Diff([][]string{want}, s.all(line, 100)); d != "" {
			t.Errorf("%q (-want +got): %s", line, d)
		}
		for limit := 1; limit < 4; limit++ {
			var got []string
			for _, page := range s.all(line, limit) {
				if len(page) > limit {
					t.Errorf("%q: a page of %d has %d", line, limit, len(page))
				}
				got = append(got, page...)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%q in pages of %d (-want +got): %s", line, limit, d)
			}
		}
	}
	for id, name := range s.names {
		if got := s.all("id:"+id, 10)[0]; len(got) != 1 || got[0][:len(name)] != name {
			t.Errorf("id:%s of %s is %q", id, name, got)
		}
	}
}

// TestManyRecipients: one message with more recipients than a page reads does not keep others away.
func TestManyRecipients(t *testing.T) {
	s := newStore(t)
	s.add("before", nil, went(envelope.Sent, "ann@example.org"))
	var many []queue.Record
	for i := range maxRead + records/2 {
		many = append(many, went(envelope.Sent, fmt.Sprintf("r%d@example.org", i)))
	}
	s.add("many", nil, many...)
	s.add("after", nil, went(envelope.Sent, "ann@example.org"))
	pages := s.all("", 10)
	if d := cmp.Diff([][]string{{"after 1", "many 1999"}, {"many 101", "before 1"}}, pages); d != "" {
		t.Error(d)
	}
}

// TestDeepQueue: a search through a long queue ends, and goes on where it ended.
func TestDeepQueue(t *testing.T) {
	deep := &deepQueue{n: 3 * maxScan / 2, wanted: 7}
	line, _ := search.Parse("subject:wanted", time.Now())
	p, err := Messages(t.Context(), deep, line, "", 10)
	if err != nil || len(p.Messages) != 0 || !p.Cut || p.Next == "" {
		t.Fatalf("%+v, %v", p, err)
	}
	p, err = Messages(t.Context(), deep, line, p.Next, 10)
	if err != nil || len(p.Messages) != 1 || p.Cut || p.Next != "" {
		t.Fatalf("%+v, %v", p, err)
	}
}

// deepQueue has n messages, whose ids are their numbers, and one that is wanted.
type deepQueue struct{ n, wanted int64 }

func (d *deepQueue) List(_ context.Context, _ queue.Filter, p queue.Page) (list []queue.Message, err error) {
	last := d.n
	if p.After != "" {
		id, _ := queue.ParseID(p.After)
		last = id - 1
	}
	for ; last > 0 && len(list) < p.Limit; last-- {
		m := queue.Message{ID: queue.FormatID(last), Parts: []queue.Part{waits(envelope.Queued, "bulk", "ann@example.org")}}
		if last == d.wanted {
			m.Header.Subject = "Wanted"
		}
		list = append(list, m)
	}
	return list, nil
}

func (d *deepQueue) Search(context.Context, queue.HistoryFilter) ([]queue.Record, error) {
	return nil, nil
}
