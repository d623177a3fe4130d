package row_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
)

// TestSuppression: an entry is read back as it was written, and its key leads to its place in the list.
func TestSuppression(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	for _, s := range []queue.Suppression{
		{Address: "Ann/b@Example.org", Domain: "example.com", Reason: queue.ReasonBounced, At: at, Until: at.Add(time.Hour), ID: "7", Words: "550 no"},
		{Address: "bob@example.org", Reason: queue.ReasonManual, At: at, By: "root"},
	} {
		stored, err := row.NewSuppression(&s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := stored.Decode()
		place, address, domain, placeErr := row.ParsePlace(got.Key)
		if place != at.UnixMilli() || address != s.AddressKey() || domain != s.Domain || placeErr != nil {
			t.Errorf("%s leads to %d, %q, %q, %v", got.Key, place, address, domain, placeErr)
		}
		if got.Key = ""; !reflect.DeepEqual(got, s) || err != nil {
			t.Errorf("%+v, %v; want %+v", got, err, s)
		}
	}
	for _, key := range []string{"", "1/2", "x/example.com/ann@example.org"} {
		if _, _, _, err := row.ParsePlace(key); !errors.Is(err, queue.ErrPlace) {
			t.Errorf("%q: %v", key, err)
		}
	}
	damaged := row.Suppression{Info: "?"}
	if _, err := damaged.Decode(); err == nil {
		t.Error("a damaged row is read")
	}
}

// TestChoice: messages that a filter names come in order, from where a page begins.
func TestChoice(t *testing.T) {
	id := queue.FormatID
	read := func() ([]int64, error) { return []int64{8, 9}, nil }
	for _, c := range []struct {
		what   string
		filter queue.Filter
		page   queue.Page
		want   []int64 // of two pages of two
	}{
		{"named", queue.Filter{IDs: []string{id(3), id(1), id(2), id(1), "?"}}, queue.Page{}, []int64{1, 2, 3}},
		{"the newest first", queue.Filter{IDs: []string{id(3), id(1), id(2)}}, queue.Page{Newest: true}, []int64{3, 2, 1}},
		{"behind one", queue.Filter{IDs: []string{id(3), id(1), id(2)}}, queue.Page{After: id(2)}, []int64{3}},
		{"none", queue.Filter{IDs: []string{}}, queue.Page{}, nil},
		{"read", queue.Filter{}, queue.Page{}, []int64{8, 9, 8, 9}},
	} {
		choice, err := row.NewPage(c.filter, c.page)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for range 2 {
			ids, err := choice.Next(2, read)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ids...)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
	if _, err := row.NewPage(queue.Filter{}, queue.Page{After: "?"}); !errors.Is(err, queue.ErrPlace) {
		t.Errorf("behind an invalid id: %v", err)
	}
	if _, err := row.NewChoice(queue.Filter{State: "sent"}); err == nil {
		t.Error("what is sent waits")
	}
}

// TestKept: what is kept of a message that has gone is its envelope and the header, as far as that may be seen.
func TestKept(t *testing.T) {
	info := []byte(`{"envelope":{"from":"app@example.com"},"header":{"subject":"secret"}}`)
	long := "Subject: secret\r\nX: " + strings.Repeat("x", 2*row.MaxFields)
	for _, c := range []struct {
		what, message string
		bare          bool
		fields        string
	}{
		{"a message", "Subject: secret\r\n\r\nbody", false, "Subject: secret\r\n"},
		{"a header alone", "Subject: secret\r\n", false, "Subject: secret\r\n"},
		{"a long header", long, false, long[:row.MaxFields]},
		{"hidden", "Subject: secret\r\n\r\nbody", true, ""},
	} {
		kept := row.Kept(info, []byte(c.message), c.bare)
		m := &queue.Finished{ID: "7"}
		if err := row.ReadKept(kept, m); err != nil || string(m.Fields) != c.fields || m.Envelope.From != "app@example.com" {
			t.Errorf("%s: %+v, %v", c.what, m, err)
		}
		if c.bare && bytes.Contains(kept, []byte("secret")) {
			t.Errorf("%s: %s", c.what, kept)
		}
	}
	if row.Kept([]byte("?"), nil, true) != nil {
		t.Error("what cannot be hidden is kept")
	}
	if err := row.ReadKept([]byte("?"), &queue.Finished{}); err == nil {
		t.Error("damage is read")
	}
}

// TestProviderID: it is read alone as it would be read with all else, whatever other texts say.
func TestProviderID(t *testing.T) {
	for _, id := range []string{"", "0100-abc", "<20261201.1@mg.example.com>", `a"b\c`, `"provider_id":"x"`, "é\u2028", `\`} {
		r := queue.Record{Recipient: envelope.Recipient{Address: "ann@example.org", Given: `"provider_id":"given"`}, State: envelope.Sent, Upstream: `u","provider_id":"u"`, ProviderID: id,
			Error: `{"provider_id":"y"}`, Header: queue.Summary{Subject: `"provider_id":"z"`}}
		rows, err := row.Make(time.Now(), &queue.Message{Header: r.Header}, 7, nil, []queue.Record{r}, func(*queue.Record) {})
		if err != nil {
			t.Fatal(err)
		}
		got, err := rows.Records[0].ProviderID()
		if err != nil || got != id {
			t.Errorf("%q is read as %q, %v", id, got, err)
		}
	}
	for info, want := range map[string]string{`{"size": 1, "provider_id": "a"}`: "a", `{}`: ""} {
		if got, err := (&row.Record{Info: info}).ProviderID(); got != want || err != nil {
			t.Errorf("%s: %q, %v", info, got, err)
		}
	}
	for _, info := range []string{`"provider_id":"a\`, `"provider_id":`, `"provider_id":7`} {
		if got, err := (&row.Record{Info: info}).ProviderID(); err == nil {
			t.Errorf("%s is read as %q", info, got)
		}
	}
}
