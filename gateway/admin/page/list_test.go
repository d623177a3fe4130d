package page

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/find"
	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// links are the addresses of a page of the list, by what they say, and the ids it lists.
func (h *house) links(target string) (links map[string]string, ids []string) {
	h.t.Helper()
	body := h.ask("GET", target, nil).Body.String()
	links = map[string]string{}
	for _, m := range regexp.MustCompile(`<a href="(/messages[^"]*)"[^>]*>(Newest|← Newer|Older →)</a>`).FindAllStringSubmatch(body, -1) {
		links[m[2]] = strings.ReplaceAll(m[1], "&amp;", "&")
	}
	for _, m := range regexp.MustCompile(`<tr id="m-([^"]+)"`).FindAllStringSubmatch(body, -1) {
		ids = append(ids, m[1])
	}
	return links, ids
}

// TestTurning: Older and Newer lead through all pages of a search and back, mail that came meanwhile or not.
func TestTurning(t *testing.T) {
	h := newHouse(t)
	for range 3*perPage - 1 {
		h.add(plain, []queue.Part{part(envelope.Held, "main", "ann@example.org")})
	}
	at := "/messages?q=state%3Aheld"
	var places []string
	var pages [][]string
	for at != "" {
		links, ids := h.links(at)
		if (links["Newest"] == "") != (len(pages) == 0) || (links["← Newer"] == "") != (len(pages) == 0) {
			t.Errorf("page %d has %v", len(pages), links)
		}
		places, pages, at = append(places, at), append(pages, ids), links["Older →"]
	}
	if len(pages) != 3 || len(slices.Concat(pages...)) != 3*perPage-1 {
		t.Fatalf("%d pages", len(pages))
	}
	h.add(plain, []queue.Part{part(envelope.Held, "main", "bob@example.org")})
	for i, at := 2, places[2]; i > 0; i-- {
		links, _ := h.links(at)
		at = links["← Newer"]
		_, ids := h.links(at)
		if i-1 > 0 && !slices.Equal(ids, pages[i-1]) || i == 1 && (len(ids) != perPage || ids[1] != pages[0][0]) {
			t.Errorf("back on page %d there is %v", i-1, ids)
		}
	}
}

// TestTrail: the address of a page does not grow without end, and does not lead past pages.
func TestTrail(t *testing.T) {
	m := &messages{}
	q := url.Values{}
	for i := range 2 * maxTrail {
		m.Older, m.Newer = "", ""
		m.pages(q, fmt.Sprint("place", i))
		u, err := url.Parse(m.Older)
		if err != nil || len(m.Older) > 20*maxTrail {
			t.Fatalf("%d bytes, %v", len(m.Older), err)
		}
		q = u.Query()
	}
	back := 0
	for m.pages(q, ""); m.Newer != ""; m.pages(q, "") {
		u, err := url.Parse(m.Newer)
		if err != nil || u.Query().Get("after") == "" {
			t.Fatalf("after %d pages back it is %s", back, m.Newer)
		}
		q, m.Newer = u.Query(), ""
		back++
	}
	if back != maxTrail {
		t.Errorf("%d pages back", back)
	}
}

// TestUnknownUpstream: a name that no upstream has is told from one that has no mail.
func TestUnknownUpstream(t *testing.T) {
	h := newHouse(t)
	h.status = []api.Upstream{{Name: "main", State: "open"}, {Name: "bulk", State: "open"}}
	h.contains("another name", h.see("/messages?q=upstream:nope+to:ann"), "There is no upstream of that name", "The upstreams are main, bulk.")
	if body := h.ask("GET", "/messages?q=upstream:nope+to:ann", nil).Body.String(); !strings.Contains(body, `href="/messages?q=to%3Aann&#43;upstream%3Abulk"`) {
		t.Errorf("the links are %s", body)
	}
	h.contains("without mail", h.see("/messages?q=upstream:main"), "No message was found.")
	h.add(plain, nil, queue.Record{State: envelope.Sent, Upstream: "gone", Recipient: envelope.Recipient{Address: "ann@example.org"}})
	h.contains("one of another time", h.see("/messages?q=upstream:gone"), "Hello")
}

// TestStateFilters: what providers tell later is a filter where one tells, or where it is asked for.
func TestStateFilters(t *testing.T) {
	line := func(state string) *search.Line {
		return &search.Line{State: state, Words: []search.Word{{Name: "state", Value: state}}}
	}
	for name, tc := range map[string]struct {
		line *search.Line
		told bool
		want string
	}{
		"nobody tells": {&search.Line{}, false, "All Waits Held Failed Sent Discarded Refused"},
		"asked for":    {line("bounced"), false, "All Waits Held Failed Bounced Sent Discarded Refused"},
		"one tells":    {&search.Line{}, true, "All Waits Held Failed Bounced Complained Sent Delivered Discarded Refused"},
	} {
		var m messages
		m.chips(tc.line, tc.told)
		var labels []string
		for _, c := range m.States {
			labels = append(labels, c.Label)
		}
		if got := strings.Join(labels, " "); got != tc.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestToldLater: what went wrong after an upstream took it is no less bad.
func TestToldLater(t *testing.T) {
	told := func(s envelope.State) queue.Record {
		r := sent("ann@example.org")
		r.State, r.Error = s, "550 unknown"
		return r
	}
	for _, s := range []envelope.State{envelope.Delivered, envelope.Bounced, envelope.Complained} {
		r := told(s)
		if row := rowOf(&find.Message{Records: []queue.Record{r}}, nil); row.Bad != (s != envelope.Delivered) || row.Words != "550 unknown" {
			t.Errorf("%s: %+v", s, row)
		}
	}
}
