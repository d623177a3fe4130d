package envelope

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// What a queue keeps of failures that wait for a digest, and of delays, is read whatever the fields are called.
func TestProgressAsItIsStored(t *testing.T) {
	const stored = `{"attempts":2,"upstream":"a","class":"permanent","status":550,"error":"550: no","warned":true,"owed":true}`
	var p Progress
	if err := json.Unmarshal([]byte(stored), &p); err != nil {
		t.Fatal(err)
	}
	if !p.InDigest || !p.Warned || p.Class != "permanent" {
		t.Errorf("%+v", p)
	}
	if again, err := json.Marshal(p); err != nil || string(again) != stored {
		t.Errorf("%s %v", again, err)
	}
}

func TestErrorText(t *testing.T) {
	if s := ErrorText(errors.New(" 550\r\n no  such\tuser ")); s != "550 no such user" {
		t.Errorf("%q", s)
	}
	if s := ErrorText(errors.New(strings.Repeat("ü", maxErrorText))); len(s) != maxErrorText+len("…") || !strings.HasSuffix(s, "ü…") {
		t.Errorf("%d bytes", len(s))
	}
}
