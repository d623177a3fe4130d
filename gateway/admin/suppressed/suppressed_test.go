package suppressed_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/suppressed"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest"
	"mailhatch/gateway/queue/sqlite"
	"mailhatch/upstream"
)

// provider has a list of pages.
type provider struct {
	pages [][]upstream.SuppressedAddress
	gone  []string
	err   error

	failAt string // page that cannot be read
}

// Suppressed implements upstream.Suppressor.
func (p *provider) Suppressed(_ context.Context, after string) (list []upstream.SuppressedAddress, next string, err error) {
	if p.err != nil {
		return nil, "", p.err
	}
	if after != "" && after == p.failAt {
		return nil, "", errors.New("500")
	}
	n := len(after)
	if n+1 < len(p.pages) {
		next = after + "x"
	}
	return p.pages[n], next, nil
}

// Unsuppress implements upstream.Suppressor.
func (p *provider) Unsuppress(_ context.Context, address string) error {
	p.gone = append(p.gone, address)
	return p.err
}

type house struct {
	*suppressed.Desk
	q     queue.Engine
	p     *provider
	acted []string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	q, err := sqlite.Open(t.Context(), queue.Settings{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(queuetest.Start(t, q))
	h := &house{q: q, p: &provider{}}
	h.Desk = &suppressed.Desk{List: q, Now: time.Now, Keep: func() time.Duration { return time.Hour },
		Acted: func(o journal.Operation) {
			h.acted = append(h.acted, fmt.Sprint(o.Action, " ", o.Filter, " ", o.Recipients, " by ", o.By))
		},
		Provider: func(name string) (upstream.Suppressor, error) {
			if name != "main" {
				return nil, &suppressed.BadRequestError{Words: "no upstream"}
			}
			return h.p, nil
		}}
	return h
}

func (h *house) list(t *testing.T) string {
	t.Helper()
	p, err := suppressed.List(t.Context(), h.q, suppressed.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range p.Entries {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", e.Address, e.Reason, e.Words, e.Domain)))
	}
	return strings.Join(all, "; ")
}

// TestImport: all pages of a provider's list come onto ours, for as long as [suppression] keeps what is told.
func TestImport(t *testing.T) {
	h := newHouse(t)
	at := time.Now().Add(-1000 * time.Hour)
	h.p.pages = [][]upstream.SuppressedAddress{
		{{Address: "a@example.org", Kind: upstream.Bounced, At: at, Words: "550 no"}, {Address: "not one", Kind: upstream.Bounced}},
		{{Address: "b@example.org", Kind: upstream.Complained, At: at.Add(-time.Hour)}, {Address: "c@example.org", Kind: upstream.Opened, At: time.Now().Add(time.Hour)}}, {},
	}
	n, err := h.Import(t.Context(), suppressed.Import{Upstream: "main", Domain: "News.example.com"}, "root")
	if err != nil || *n != (suppressed.Added{Read: 4, Added: 3, Skipped: 1}) {
		t.Errorf("%+v, %v", n, err)
	}
	if got, want := h.list(t), "c@example.org suppressed  news.example.com; a@example.org bounced 550 no news.example.com; b@example.org complained  news.example.com"; got != want {
		t.Errorf("the list is %q, want %q", got, want)
	}
	if n, err = h.Import(t.Context(), suppressed.Import{Upstream: "main", Domain: "news.example.com"}, "root"); err != nil || n.Added > 1 {
		t.Errorf("again: %+v, %v", n, err)
	}
	if len(h.acted) == 0 || h.acted[0] != "suppress the list of main 3 by root" {
		t.Errorf("on record: %q", h.acted)
	}
	for _, bad := range []suppressed.Import{{Upstream: "other"}, {Upstream: "main", Domain: "no domain"}} {
		if _, err := h.Import(t.Context(), bad, "root"); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
	h.p.err = errors.New("503")
	if _, err := h.Import(t.Context(), suppressed.Import{Upstream: "main"}, "root"); err == nil || !strings.Contains(err.Error(), "the list of main cannot be read: 503") {
		t.Errorf("a provider that fails: %v", err)
	}
	h.p.err, h.acted = nil, nil
	h.p.pages, h.p.failAt = [][]upstream.SuppressedAddress{{{Address: "d@example.org"}}, {}}, "x"
	if _, err := h.Import(t.Context(), suppressed.Import{Upstream: "main"}, "root"); err == nil || len(h.acted) != 1 || h.acted[0] != "suppress the list of main 1 by root" {
		t.Errorf("a provider that fails midway: %v, on record: %q", err, h.acted)
	}
}

// TestRemove: the provider is asked first, and what it fails to do leaves our entry.
func TestRemove(t *testing.T) {
	h := newHouse(t)
	if _, err := h.Add(t.Context(), suppressed.Addition{Entries: []suppressed.Suppression{{Address: "a@example.org"}, {Address: "a@example.org", Domain: "x.example"}}}, "root"); err != nil {
		t.Fatal(err)
	}
	h.p.err = errors.New("403")
	if _, err := h.Remove(t.Context(), suppressed.Removal{Addresses: []string{"a@example.org"}, Upstream: "main"}, "root"); err == nil || h.list(t) == "" {
		t.Errorf("a provider that refuses: %v", err)
	}
	h.p.err = nil
	all := ""
	r, err := h.Remove(t.Context(), suppressed.Removal{Addresses: []string{"A@example.org", "b@example.org"}, Upstream: "main", Domain: &all}, "root")
	if err != nil || len(r.Entries) != 1 || len(r.Provider) != 2 || len(r.Missing) != 1 || h.list(t) != "a@example.org manual  x.example" {
		t.Errorf("%+v, %v", r, err)
	}
	if want := []string{"lift A@example.org 1 by root", "lift b@example.org 0 by root"}; !slices.Equal(h.acted[1:], want) { // also what the provider alone had
		t.Errorf("on record: %q, want %q", h.acted[1:], want)
	}
	for _, bad := range []suppressed.Removal{{}, {Addresses: []string{""}}, {Addresses: []string{"a@example.org"}, Upstream: "other"}, {Addresses: make([]string, suppressed.MaxPage+1)}} {
		if _, err := h.Remove(t.Context(), bad, "root"); err == nil {
			t.Errorf("%d addresses at %q: no error", len(bad.Addresses), bad.Upstream)
		}
	}
}

// TestAddRefuses: a bad entry is named, and none of its request is put on the list.
func TestAddRefuses(t *testing.T) {
	h := newHouse(t)
	for want, bad := range map[string]suppressed.Suppression{
		`"x@" is not an address`: {Address: "x@"}, `"*@example.org" is not an address`: {Address: "*@example.org"}, `"" is not an address`: {},
		"at is in the future": {Address: "a@example.org", At: time.Now().Add(time.Hour)}, "until is in the past": {Address: "a@example.org", Until: time.Now().Add(-time.Hour)},
		"words are longer": {Address: "a@example.org", Words: strings.Repeat("x", 1001)}, "the sender domain": {Address: "a@example.org", Domain: "a b"},
		"no reason": {Address: "a@example.org", Reason: "angry"},
	} {
		_, err := h.Add(t.Context(), suppressed.Addition{Entries: []suppressed.Suppression{{Address: "good@example.org"}, bad}}, "root")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", bad, err, want)
		}
	}
	if _, err := h.Add(t.Context(), suppressed.Addition{}, "root"); err == nil || h.list(t) != "" {
		t.Errorf("%v; the list is %q", err, h.list(t))
	}
}

// TestTable: what is written is read back, and so is what other programs write.
func TestTable(t *testing.T) {
	at := time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)
	whole := suppressed.Suppression{Address: `"a, b"@example.org`, Domain: "x.example", Reason: queue.ReasonBounced, At: at, Until: at.Add(time.Hour), By: "root", ID: "ID", Upstream: "main", Event: "e", Words: "a \"b\"\nc"}
	var b strings.Builder
	table, err := suppressed.NewTable(&b)
	if err == nil {
		err = table.Write([]suppressed.Suppression{whole})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, want string }{
		{b.String(), fmt.Sprint(whole)},
		{"\ufeffEMAIL, Reason ,created\na@example.org, Complained,1\n\n# no\n", "complained"},
		{"a@example.org\n b@example.org \n", "b@example.org"},
		{"address,at\na@example.org,yesterday\n", `line 2: "yesterday" is not a time`},
		{"address,until\na@example.org,soon\n", `line 2: "soon" is not a time`},
		{"address,reason\n,bounced\n", "line 2: there is no address"},
		{"address,reason\nx,bounced\n", `line 2: "x" is not an address`},
		{"\"open\n", ""},
		{"a@example.org\n" + strings.Repeat("x", 2<<20), "line 2: longer than 1048576 bytes"},
		{strings.Repeat("a@example.org\n", 80_000), "a@example.org"},
	} {
		got := ""
		err := suppressed.Read(strings.NewReader(c.text), suppressed.Suppression{}, func(list []suppressed.Suppression) error {
			got += fmt.Sprint(list)
			return nil
		})
		if err != nil {
			got += err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
	n, most := 0, 0
	err = suppressed.Read(strings.NewReader(strings.Repeat("a@example.org\n", 2500)), suppressed.Suppression{}, func(list []suppressed.Suppression) error {
		n, most = n+len(list), max(most, len(list))
		return nil
	})
	if err != nil || n != 2500 || most != suppressed.MaxPage {
		t.Errorf("%d entries, at most %d at once, %v", n, most, err)
	}
	failed := errors.New("no")
	if err := suppressed.Read(strings.NewReader("a@example.org\n"), suppressed.Suppression{}, func([]suppressed.Suppression) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("an error of the taker: %v", err)
	}
}
