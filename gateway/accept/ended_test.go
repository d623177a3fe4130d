package accept

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/queue"
)

// TestEndedAliasesAreOnRecord: what an alias leads to without an address is kept beside what waits.
func TestEndedAliasesAreOnRecord(t *testing.T) {
	ending := func(name string, s envelope.State) identity.Ending {
		return identity.Ending{Recipient: envelope.Recipient{Address: name + "@host.example"}, State: s, Why: "because", Enhanced: [3]int{5, 7, 1}}
	}
	in := &incoming{msg: newMessage(t), ended: []identity.Ending{
		ending("null", envelope.Discarded), ending("list", envelope.Held), ending("prog", envelope.Failed)}}
	ann := envelope.Recipient{Address: "ann@example.org"}
	in.env.To = []envelope.Recipient{ann}
	kept := in.kept([]queue.Part{{To: in.env.To, Lane: "main", State: envelope.Queued}}, nil)
	if err := kept.Check(); err != nil {
		t.Fatal(err)
	}
	if len(kept.Events) != 0 {
		t.Errorf("events: %+v", kept.Events)
	}
	if len(kept.Envelope.To) != 4 || len(in.env.To) != 1 {
		t.Errorf("recipients %v, before %v", kept.Envelope.To, in.env.To)
	}
	if len(kept.Done) != 1 || kept.Done[0].State != envelope.Discarded || kept.Done[0].Recipient.Address != "null@host.example" {
		t.Errorf("done: %+v", kept.Done)
	}
	if len(kept.Parts) != 3 || kept.Parts[1].State != envelope.Held || kept.Parts[1].Progress.Error != "because" {
		t.Fatalf("parts: %+v", kept.Parts)
	}
	if p := kept.Parts[2]; p.State != envelope.Queued || !p.Progress.Refused || p.Progress.Status != 550 || p.Progress.Enhanced != "5.7.1" ||
		p.Progress.Error != "prog@host.example: because" {
		t.Errorf("the refused one: %+v", p)
	}
}

// TestRefusedAliases: a message is refused when nobody else would have it.
func TestRefusedAliases(t *testing.T) {
	a := &Acceptor{}
	for _, c := range []struct {
		states  []envelope.State
		refused bool
	}{
		{[]envelope.State{envelope.Failed}, true},
		{[]envelope.State{envelope.Failed, envelope.Failed}, true},
		{[]envelope.State{envelope.Failed, envelope.Discarded}, false},
		{[]envelope.State{envelope.Held}, false},
	} {
		in := &incoming{msg: newMessage(t)}
		for _, s := range c.states {
			in.ended = append(in.ended, identity.Ending{State: s, Why: "because"})
		}
		if _, err := a.parts(t.Context(), in); (err != nil) != c.refused {
			t.Errorf("%v: %v", c.states, err)
		}
	}
}

// TestRewritingIsOnRecord: the history says which rules changed a message.
func TestRewritingIsOnRecord(t *testing.T) {
	in := &incoming{msg: newMessage(t), rewritten: []string{"app", "rewrite 2"}}
	in.env.Received = time.UnixMilli(7)
	kept := in.kept(nil, nil)
	want := []queue.Event{{At: in.env.Received, Kind: queue.EventRewritten, Rule: "app, rewrite 2"}}
	if d := cmp.Diff(want, kept.Events); d != "" {
		t.Error(d)
	}
}
