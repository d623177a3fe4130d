package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

func numbered(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d@example.org", prefix, i)
	}
	return out
}

// shape reports how many to, cc and bcc each call had.
func shape(msgs []upstreamtest.Message) string {
	var out []string
	for _, m := range msgs {
		s := fmt.Sprintf("%d/%d/%d", len(m.To), len(m.Cc), len(m.Bcc))
		if m.Apart {
			s = fmt.Sprintf("%d apart", len(m.To))
		}
		if n := len(out); n > 0 && strings.HasPrefix(out[n-1], s+" x") {
			var times int
			_, _ = fmt.Sscanf(out[n-1][len(s):], " x%d", &times)
			out[n-1] = fmt.Sprintf("%s x%d", s, times+1)
			continue
		}
		out = append(out, s+" x1")
	}
	return strings.Join(out, ", ")
}

func TestCallsAndChunks(t *testing.T) {
	to, cc, bcc := numbered("to", 60), numbered("cc", 3), numbered("bcc", 70)
	odd, oddQuoted := []string{"s..p@x.test"}, []string{`"p."@x.test`, `"s..p"@x.test`}
	rows := []struct {
		name, kind   string
		to, cc       []string // header
		envelope     []string
		want         string
		wantRequests int
	}{
		{"one call", "resend", to[:2], cc[:1], slices.Concat(bcc[:1], to[:2], cc[:1]), "2/1/1 x1", 1},
		{"full", "resend", to[:50], nil, to[:50], "50/0/0 x1", 1},
		{"one too many", "resend", to[:51], nil, to[:51], "50/0/0 x1, 1/0/0 x1", 2},
		{"to in both chunks", "resend", to, nil, slices.Concat(to, bcc[:40]), "50/0/0 x1, 10/0/40 x1", 2},
		{"bcc beyond", "resend", to[:1], nil, slices.Concat(bcc, to[:1]), "1/0/49 x1, 1/0/0 x21", 22},
		{"no to", "resend", nil, cc, cc, "1/0/0 x3", 3},
		{"a thousand", "sendgrid", to[:1], nil, slices.Concat(to[:1], numbered("x", 1000)), "1/0/999 x1, 1/0/0 x1", 2},
		{"bcc alone", "sendgrid", nil, nil, bcc, "70 apart x1", 1},
		{"cc alone", "sendgrid", nil, cc, slices.Concat(cc, bcc[:1]), "4 apart x1", 1},
		{"one alone", "sendgrid", nil, nil, bcc[:1], "1/0/0 x1", 1},
		{"bcc beyond a full call", "sendgrid", to[:1], nil, slices.Concat(to[:1], numbered("x", 2100)), "1/0/999 x1, 1000 apart x1, 101 apart x1", 3},
		{"bcc alone by mailgun", "mailgun", nil, nil, bcc, "", 1},
		{"quotes of the envelope", "resend", odd, []string{"p.@x.test", odd[0]}, oddQuoted, "1/1/0 x1", 1},
		{"quotes of the header", "sendgrid", oddQuoted[1:], []string{"p.@x.test", odd[0]}, oddQuoted, "1/1/0 x1", 1},
		{"quotes of the envelope by mailgun", "mailgun", odd, nil, oddQuoted, "", 1},
		{"mailgun", "mailgun", to[:1], nil, slices.Concat(to[:1], numbered("x", 1000)), "", 2},
		{"header of an API without an envelope", "graph", to[:3], cc, slices.Concat(bcc[:1], to[:2], cc[:2]), "2/2/0 x1", 1},
		{"cc alone in the header", "graph", nil, cc, slices.Concat(cc, bcc[:1]), "0/3/0 x1", 1},
		{"hidden alone", "gmail", to, nil, bcc, "0/0/0 x1", 1},
		{"more than a header has", "gmail", to[:1], nil, slices.Concat(to[:1], numbered("x", 1000)), "1/0/0 x1, 0/0/0 x2", 3},
		{"quotes of the envelope in a header", "graph", odd, []string{"p.@x.test", odd[0]}, oddQuoted, "1/1/0 x1", 1},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			up, fake := start(t, row.kind, "")
			header := "From: app@example.com\nSubject: s\nMessage-ID: <m@example.com>\n"
			if row.to != nil {
				header += "To: " + strings.Join(row.to, ",\n ") + "\n"
			}
			if row.cc != nil {
				header += "Cc: " + strings.Join(row.cc, ", ") + "\n"
			}
			m := makeMail(t, header+"\nbody\n", row.envelope...)
			for i, o := range up.Send(t.Context(), m) {
				if o.Err != nil || o.ID == "" {
					t.Fatalf("%s: %+v", m.To[i].Address, o)
				}
			}
			msgs := fake.Accepted()
			if got := shape(msgs); row.want != "" && got != row.want {
				t.Errorf("calls %s, want %s", got, row.want)
			}
			var got []string
			keys := map[string]bool{}
			for _, msg := range msgs {
				got = append(got, msg.Recipients...)
				keys[msg.IdempotencyKey] = true
			}
			want := slices.Sorted(slices.Values(row.envelope))
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if len(msgs) != row.wantRequests || row.kind == "resend" && len(keys) != len(msgs) {
				t.Errorf("%d calls with %d keys", len(msgs), len(keys))
			}
		})
	}
}

// TestRetryMakesTheSameCalls fails one of three calls and offers its recipients again: the call is the same, byte for byte.
func TestRetryMakesTheSameCalls(t *testing.T) {
	up, fake := start(t, "resend", "")
	to := numbered("to", 120)
	m := makeMail(t, "From: app@example.com\nSubject: s\nTo: "+strings.Join(to, ",\n ")+"\n\nbody\n", to...)
	fake.Script(upstreamtest.Fault{}, upstreamtest.Fault{Drop: upstreamtest.DropReply}, upstreamtest.Fault{})
	again := *m
	again.To = nil
	for i, o := range up.Send(t.Context(), m) {
		if o.Err != nil {
			again.To = append(again.To, m.To[i])
		}
	}
	if len(again.To) != 50 || len(fake.Accepted()) != 3 {
		t.Fatalf("%d recipients failed, %d calls taken", len(again.To), len(fake.Accepted()))
	}
	for i, o := range up.Send(t.Context(), &again) {
		if o.Err != nil || o.ID != "resend-2" {
			t.Errorf("%s: %+v", again.To[i].Address, o)
		}
	}
	if n := len(fake.Accepted()); n != 3 {
		t.Errorf("%d calls taken", n)
	}
}

func TestOneBadRecipient(t *testing.T) {
	for _, kind := range apiKinds {
		for _, n := range []int{1, 2, 7} {
			t.Run(fmt.Sprintf("%s/%d", kind.name, n), func(t *testing.T) {
				up, fake := start(t, kind.name, "")
				to := numbered("to", n)
				to[n/2] = "bad@nodot"
				m := makeMail(t, "From: app@example.com\nSubject: s\nMessage-ID: <m@x.org>\nTo: "+strings.Join(to, ", ")+"\n\nbody\n", to...)
				for i, o := range up.Send(t.Context(), m) {
					if i != n/2 {
						if o.Err != nil {
							t.Errorf("%s: %v", m.To[i].Address, o.Err)
						}
						continue
					}
					if e := asError(t, o.Err); e.Class != upstream.Permanent || e.Code != "5.1.3" {
						t.Errorf("%+v", e)
					}
				}
				var got []string
				for _, msg := range fake.Accepted() {
					got = append(got, msg.Recipients...)
				}
				slices.Sort(got)
				if diff := cmp.Diff(slices.Delete(slices.Clone(to), n/2, n/2+1), got, cmp.Transformer("empty", func(s []string) []string {
					return append([]string{}, s...)
				})); n > 1 && diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// TestOneBadRecipientApart: SendGrid names the personalization, the others are served by one more call.
func TestOneBadRecipientApart(t *testing.T) {
	up, fake := start(t, "sendgrid", "")
	to := numbered("hidden", 5)
	to[3] = "bad@nodot"
	for i, o := range up.Send(t.Context(), makeMail(t, "From: app@example.com\nSubject: s\n\nbody\n", to...)) {
		if (o.Err != nil) != (i == 3) {
			t.Errorf("%s: %+v", to[i], o)
		}
	}
	if fake.Requests() != 2 || len(fake.Accepted()) != 1 || !fake.Accepted()[0].Apart {
		t.Errorf("%d requests, taken %+v", fake.Requests(), fake.Accepted())
	}
}

// TestPauseBeforeTheLimit: an answer that took the mail may say that it was the last for now.
func TestPauseBeforeTheLimit(t *testing.T) {
	rows := []struct {
		header http.Header
		want   time.Duration
	}{
		{http.Header{"Ratelimit-Remaining": {"0"}, "Ratelimit-Reset": {"1"}}, time.Second},
		{http.Header{"Ratelimit-Remaining": {"1"}, "Ratelimit-Reset": {"1"}}, 0},
		{http.Header{"X-RateLimit-Remaining": {"0"}, "X-RateLimit-Reset": {"1770000060"}, "Date": {"Mon, 02 Feb 2026 02:40:00 GMT"}}, time.Minute},
		{http.Header{"X-RateLimit-Remaining": {"0"}}, 0},
		{http.Header{"X-Sib-Ratelimit-Remaining": {"0"}, "X-Sib-Ratelimit-Reset": {"7"}}, 7 * time.Second},
		{http.Header{"X-RateLimit-Remaining": {"soon"}, "X-RateLimit-Reset": {"60"}}, 0},
	}
	for _, kind := range apiKinds {
		up, fake := start(t, kind.name, "")
		for _, row := range rows {
			fake.Script(upstreamtest.Fault{Status: kind.taken.Status, Header: row.header, Body: kind.taken.Body})
			out := up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org"))
			if out[0].Err != nil || out[0].Pause != row.want {
				t.Errorf("%s %v: %+v, want %v", kind.name, row.header, out[0], row.want)
			}
		}
	}
	up, fake := start(t, "resend", "")
	fake.Script(upstreamtest.Fault{Status: 200, Header: rows[0].header, Body: `{"id":"1"}`})
	out := up.Send(t.Context(), makeMail(t, "From: app@example.com\nSubject: s\n\nbody\n", "a@example.org", "b@example.org"))
	if e := asError(t, out[1].Err); out[0].Err != nil || e.Class != upstream.Throttled || e.RetryAfter != time.Second || fake.Requests() != 1 {
		t.Errorf("further calls of the same mail: %+v after %d requests", out, fake.Requests())
	}
}

// TestTroubleStopsFurtherCalls: a mail of many calls does not hammer a provider in trouble.
func TestTroubleStopsFurtherCalls(t *testing.T) {
	rows := []struct {
		name     string
		fault    upstreamtest.Fault
		requests int
		first    upstream.Class
		rest     upstream.Class
	}{
		{"throttled", upstreamtest.Fault{Status: 429}, 1, upstream.Throttled, upstream.Throttled},
		{"account", upstreamtest.Fault{Status: 401}, 1, upstream.Account, upstream.Account},
		{"temporary", upstreamtest.Fault{Status: 503}, 3, upstream.Temporary, upstream.Temporary},
		{"uncertain", upstreamtest.Fault{Status: 504}, 3, upstream.Uncertain, upstream.Temporary},
		{"permanent", upstreamtest.Fault{Status: 422, Body: resendBody("validation_error", "no")}, 10, upstream.Permanent, upstream.Permanent},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			up, fake := start(t, "resend", "")
			fake.Script(upstreamtest.Times(20, row.fault)...)
			out := up.Send(t.Context(), makeMail(t, "From: app@example.com\nSubject: s\n\nbody\n", numbered("x", 10)...))
			if fake.Requests() != row.requests {
				t.Errorf("%d requests, want %d", fake.Requests(), row.requests)
			}
			if e := asError(t, out[0].Err); e.Class != row.first {
				t.Errorf("first: %+v", e)
			}
			if e := asError(t, out[9].Err); e.Class != row.rest {
				t.Errorf("last: %+v", e)
			}
		})
	}
}

func TestUnusableRecipients(t *testing.T) {
	for _, kind := range apiKinds {
		up, fake := start(t, kind.name, "")
		m := makeMail(t, plainMessage, "ann@example.org", "jörg@example.org", "nobody", "x@\x01.org", "x@exa mple\u00a0ä.org")
		out := up.Send(t.Context(), m)
		want := []upstream.Class{-1, upstream.Unrepresentable, upstream.Permanent, upstream.Permanent, upstream.Permanent}
		for i, o := range out {
			if want[i] < 0 {
				if o.Err != nil {
					t.Errorf("%s: %v", m.To[i].Address, o.Err)
				}
				continue
			}
			if e := asError(t, o.Err); e.Class != want[i] {
				t.Errorf("%s: %q: %+v", kind.name, m.To[i].Address, e)
			}
		}
		if err := up.(upstream.Preflighter).Preflight(m); err != nil {
			t.Errorf("preflight: %v; one recipient can be reached", err)
		}
		m.To = m.To[1:2]
		e, ok := errors.AsType[*upstream.Error](up.(upstream.Preflighter).Preflight(m))
		if !ok || e.Code != "5.6.7" {
			t.Errorf("preflight: %+v", e)
		}
		if n := len(fake.Accepted()); n != 1 {
			t.Errorf("%d mails taken", n)
		}
	}
}
