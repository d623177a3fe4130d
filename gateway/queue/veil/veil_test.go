package veil_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/veil"
)

func record() queue.Record {
	return queue.Record{From: "ann1@example.com", Recipient: envelope.Recipient{Address: "Bob1@example.org", Given: "bob1", ORcpt: "rfc822;bob1@x"},
		Header: queue.Summary{MessageID: "<1@a>", From: "Ann <ann1@example.com>", Subject: "secret"}, Error: "550 <bob1@example.org>: no such user, see https://x/y"}
}

func TestVeil(t *testing.T) {
	dir := t.TempDir()
	v := veil.New(dir)
	r := record()
	if v.Record(&r); r.From != record().From || r.Header != record().Header || v.HidesHeader() || v.HidesAll() || v.Address("x@y") != "" {
		t.Errorf("nothing is to be hidden: %+v", r)
	}
	if v.Filter(&queue.HistoryFilter{To: "bob1@example.org"}) != nil {
		t.Error("a filter where nothing was ever hidden")
	}
	if err := v.Set(queue.HideSubjects); err != nil {
		t.Fatal(err)
	}
	e := queue.Event{To: []string{"bob1@example.org"}, Words: "no bob1@example.org"}
	v.Event(&e)
	if v.Record(&r); r.Header.Subject != "" || r.From != "ann1@example.com" || e.To[0] != "bob1@example.org" || !v.HidesHeader() || v.HidesAll() {
		t.Errorf("subjects: %+v, %+v", r, e)
	}
	if err := v.Set(queue.HideAddresses); err != nil {
		t.Fatal(err)
	}
	r = record()
	v.Record(&r)
	v.Event(&e)
	digest := v.Address("bob1@EXAMPLE.org")
	if r.Recipient.Address != digest || !strings.HasPrefix(digest, "~") || len(digest) != 17 || r.Header.MessageID != "<1@a>" || r.Header.From != "" ||
		r.Error != "550 <"+digest+">: no such user, see https://x/y" || e.To[0] != digest || e.Words != "no "+digest || !v.HidesAll() {
		t.Errorf("addresses: %+v, %+v", r, e)
	}
	for _, text := range []string{r.From, r.Recipient.Given, r.Recipient.ORcpt, r.Error, e.Words} {
		if strings.Contains(text, "bob1") || strings.Contains(text, "ann1") {
			t.Errorf("%q shows an address", text)
		}
	}
	again := veil.New(dir)
	f := again.Filter(&queue.HistoryFilter{To: `"bob1"@example.org`})
	if f == nil || f.To != digest || f.From != "" || !f.Matches(&r) {
		t.Errorf("after a restart: %+v", f)
	}
	if again.Filter(&queue.HistoryFilter{To: "*@example.org"}) != nil || again.Filter(&queue.HistoryFilter{Subject: "x"}) != nil {
		t.Error("a pattern cannot be found")
	}
	if other := veil.New(t.TempDir()); other.Set(queue.HideAddresses) != nil || other.Address("bob1@example.org") == digest {
		t.Error("two stores have the same key")
	}
}

func TestKeyFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, veil.KeyName), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := veil.New(dir).Set(queue.HideAddresses); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a damaged key: %v", err)
	}
	if err := veil.New(filepath.Join(dir, "none")).Set(queue.HideAddresses); err == nil {
		t.Error("no folder: no error")
	}
}

// TestSuppression: the list hides what the history hides, once, and finds both.
func TestSuppression(t *testing.T) {
	v := veil.New(t.TempDir())
	open := queue.Suppression{Address: "bob1@example.org", Words: "no bob1@example.org"}
	if v.Suppression(&open); open.Address != "bob1@example.org" || len(v.Names(open.Address)) != 1 {
		t.Errorf("nothing is to be hidden: %+v", open)
	}
	if err := v.Set(queue.HideAddresses); err != nil {
		t.Fatal(err)
	}
	digest, hidden := v.Address(open.Address), open
	for range 2 {
		if v.Suppression(&hidden); hidden.Address != digest || hidden.Words != "no "+digest {
			t.Errorf("%+v", hidden)
		}
	}
	if names := v.Names(open.Address); len(names) != 2 || names[1] != digest || len(v.Names(digest)) != 1 {
		t.Errorf("names %q, %q", names, v.Names(digest))
	}
}
