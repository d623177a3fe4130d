package route

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompileErrors(t *testing.T) {
	_, err := Compile([]Rule{
		{Via: []string{"a"}},
		{
			From: []string{"x.org"}, HeaderFrom: []string{"!ann"}, Client: []string{"here"},
			Header:  map[string][]string{"A B": {"x"}, "Ok": nil, "": {"x"}},
			MinSize: -1, Balance: map[string]int{"a": 0}, Hold: true, Reject: "550",
			OnFailure: "panic", FailoverAfter: -1,
		},
		{},
		{MinSize: 5, MaxSize: 4, Discard: true},
	})
	var got []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var ke *KeyError
		if !errors.As(e, &ke) {
			t.Fatal(e)
		}
		got = append(got, fmt.Sprint(ke.Rule, " ", ke.Key))
	}
	want := []string{
		"1 from", "1 client", "1 header_from", "1 header.", "1 header.A B", "1 header.Ok", "1 min_size",
		"1 reject", "1 reject", "1 balance.a", "1 on_failure", "1 failover_after", "2 ", "3 min_size",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(err.Error(), `rule 2: from "x.org" can never match`) {
		t.Error(err)
	}
}

func TestParseReply(t *testing.T) {
	tests := []struct {
		text string
		want Reply
		ok   bool
	}{
		{"550 no", Reply{550, [3]int{5, 7, 1}, "no"}, true},
		{"451 later", Reply{451, [3]int{4, 7, 1}, "later"}, true},
		{"550 5.1.1  no such user", Reply{550, [3]int{5, 1, 1}, "no such user"}, true},
		{"550 10.0.0.1 is blocked", Reply{550, [3]int{5, 7, 1}, "10.0.0.1 is blocked"}, true},
		{"550 4.1.1 x", Reply{}, false}, {"550 5.1.1", Reply{}, false}, {"550 5.1.1234 x", Reply{}, false},
		{"550 5..1 x", Reply{}, false}, {"250 x", Reply{}, false}, {"600 x", Reply{}, false}, {"569 x", Reply{}, false},
		{"421 x", Reply{}, false}, {"55 x", Reply{}, false}, {"+550 x", Reply{}, false}, {"550", Reply{}, false},
		{"550 a\r\nb", Reply{}, false}, {"550 ü", Reply{}, false}, {"550 " + strings.Repeat("x", 481), Reply{}, false},
	}
	for _, tc := range tests {
		got, problem := ParseReply(tc.text)
		if (problem == "") != tc.ok || got != tc.want {
			t.Errorf("%q: %+v %q", tc.text, got, problem)
		}
	}
}
