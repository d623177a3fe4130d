package message

import (
	"bytes"
	"testing"
)

func TestTemplate(t *testing.T) {
	for size := 400; size < 700; size++ {
		tmpl, err := New("a@b.example", []string{"c@d.example", "e@f.example"}, size)
		if err != nil {
			t.Fatal(err)
		}
		got := tmpl.Stamp(ID("deadbeef", 42))
		if len(got) != size || !bytes.HasSuffix(got, []byte("\r\n")) || bytes.Contains(got, []byte("\n.")) {
			t.Fatalf("size %d: %d bytes\n%q", size, len(got), got)
		}
		if id := FindID(got); id != "deadbeef-0000000042" {
			t.Fatalf("id %q", id)
		}
	}
	tmpl, _ := New("a@b.example", []string{"c@d.example"}, 1000)
	other := tmpl.Clone()
	first := string(tmpl.Stamp(ID("deadbeef", 1)))
	other.Stamp(ID("deadbeef", 2))
	if string(tmpl.raw) != first {
		t.Error("clones share their bytes")
	}
}

func TestFindID(t *testing.T) {
	tests := []struct{ body, want string }{
		{"From: x\r\nX-Load-Id: deadbeef-01\r\n\r\n", "deadbeef-01"},
		{"x-load-id:\r\n deadbeef-01", "deadbeef-01"},
		{`{"headers":{"X-Load-Id":"deadbeef-01"}}`, "deadbeef-01"},
		{`{"headers": {"x-load-id" : "deadbeef-01"} }`, "deadbeef-01"},
		{"no id", ""},
	}
	for _, tt := range tests {
		if got := FindID([]byte(tt.body)); got != tt.want {
			t.Errorf("%q: %q", tt.body, got)
		}
	}
}
