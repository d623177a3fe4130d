package queue

import (
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
)

// Addresses are compared as people write them, whatever quotes the envelope has.
func TestMatchesAddress(t *testing.T) {
	for _, c := range []struct {
		pattern, addr string
		want          bool
	}{
		{"", `"s..p"@x`, true}, {"s..p@x", `"s..p"@x`, true}, {`"S..P"@X`, `"s..p"@x`, true}, {"*@x", `"s..p"@x`, true},
		{"s.p@x", `"s..p"@x`, false}, {`"a b"@x`, `"a b"@x`, true},
		{"*", "a@x", true}, {"A@X", "a@x", true}, {"*@x.org", "ann@X.org", true}, {"a?n@*", "ann@x", true}, {"a?n@*", "an@x", false},
		{"*a*b*", "xxaxxbxx", true}, {"*a*b", "abc", false}, {"[a]", "a", false}, {`"S..P"@*`, `"s..p"@x`, true}, {"s*p@x", `"s..p"@x`, true},
		{strings.Repeat("*a", 30) + "b", strings.Repeat("a", 3000), false},
		{"<>", "", true}, {"<>", "a@x", false},
	} {
		f := HistoryFilter{To: c.pattern}
		if got := f.Matches(&Record{Recipient: envelope.Recipient{Address: c.addr}}); got != c.want {
			t.Errorf("%s, %s: %v", c.pattern, c.addr, got)
		}
	}
}

// TestHistoryFilter: each field narrows the choice by itself.
func TestHistoryFilter(t *testing.T) {
	at := time.Now()
	r := Record{ID: "0ABCDEFGHJKMN", Recipient: envelope.Recipient{Address: "bob@example.org", Given: "bobby"}, State: envelope.Sent, At: at,
		Upstream: "main", ProviderID: "<P-1@mg>", From: "Ann@example.com", Header: Summary{MessageID: "<m1@app>", Subject: "Invoice No. 7 für März"}}
	for _, c := range []struct {
		f    HistoryFilter
		want bool
	}{
		{HistoryFilter{}, true},
		{HistoryFilter{ID: "0abcdefghjkmn"}, true}, {HistoryFilter{ID: "0ABCDEFGHJKMP"}, false},
		{HistoryFilter{From: "ann@*"}, true}, {HistoryFilter{From: "bob@*"}, false},
		{HistoryFilter{To: "bob@*"}, true}, {HistoryFilter{To: "BOBBY"}, true}, {HistoryFilter{To: "bob"}, false},
		{HistoryFilter{Word: "OB@EX"}, true}, {HistoryFilter{Word: "nn@"}, true}, {HistoryFilter{Word: "bobb"}, true}, {HistoryFilter{Word: "eve"}, false},
		{HistoryFilter{Subject: "märz INVOICE"}, true}, {HistoryFilter{Subject: "invoice 8"}, false}, {HistoryFilter{Subject: " "}, true},
		{HistoryFilter{State: envelope.Sent}, true}, {HistoryFilter{State: envelope.Failed}, false},
		{HistoryFilter{Upstream: "main"}, true}, {HistoryFilter{Upstream: "mai"}, false},
		{HistoryFilter{MessageID: "m1@app"}, true}, {HistoryFilter{MessageID: "<M1@app>"}, true}, {HistoryFilter{MessageID: "m1"}, false},
		{HistoryFilter{ProviderID: "p-1@mg"}, true}, {HistoryFilter{ProviderID: "p-1"}, false},
		{HistoryFilter{Since: at}, true}, {HistoryFilter{Since: at.Add(1)}, false},
		{HistoryFilter{Until: at}, false}, {HistoryFilter{Until: at.Add(1)}, true},
		{HistoryFilter{To: "bob@*", Subject: "invoice", State: envelope.Failed}, false},
	} {
		if got := c.f.Matches(&r); got != c.want {
			t.Errorf("%+v: %v", c.f, got)
		}
	}
}
