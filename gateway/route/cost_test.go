package route

import (
	"fmt"
	"strings"
	"testing"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// TestMessageIsJudgedOnce: what rules ask of the message is the same for all its recipients.
func TestMessageIsJudgedOnce(t *testing.T) {
	table, err := Compile([]Rule{
		{Match: Match{To: []string{"*@x.example"}, Header: map[string][]string{"X-Class": {"*a*b*c"}}}, Hold: true},
		{Match: Match{Header: map[string][]string{"X-Class": {"!bulk"}}}, Via: []string{"main"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	reads := 0
	in := &Input{Envelope: &envelope.Envelope{}, Header: func(string) []string { reads++; return []string{"list"} }}
	for i := range 1000 {
		in.To = fmt.Sprintf("ann%d@%s.example", i, []string{"x", "y"}[i%2])
		if d := table.Decide(in); d.Action != Deliver {
			t.Fatalf("%s: %v", in.To, d)
		}
	}
	if reads != 2 {
		t.Errorf("two rules read the field %d times", reads)
	}
}

// TestFieldsAreDecodedOnce: many rules may ask for one field.
func TestFieldsAreDecodedOnce(t *testing.T) {
	m, err := mime.Parse(mime.NewBytesSource([]byte("X-Class: " + strings.Repeat("=?utf-8?q?=41?= ", 1000) + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	in := NewInput("", &envelope.Envelope{}, m, 0)
	in.Header("X-Class")
	if n := testing.AllocsPerRun(10, func() { in.Header("X-Class") }); n > 0 {
		t.Errorf("%v allocations to read a field again", n)
	}
}
