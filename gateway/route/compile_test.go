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
			Match: Match{From: []string{"x.org"}, HeaderFrom: []string{"!ann"}, Client: []string{"here"}, Header: map[string][]string{"A B": {"x"}, "Ok": nil, "": {"x"}}, MinSize: -1}, Balance: map[string]int{"a": 0}, Hold: true, Reject: "550",
			OnFailure: "panic", FailoverAfter: -1,
		},
		{},
		{Match: Match{MinSize: 5, MaxSize: 4}, Discard: true},
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
