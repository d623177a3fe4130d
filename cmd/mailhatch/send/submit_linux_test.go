package send

import (
	"io"
	"strings"
	"testing"

	"mailhatch/cmd/mailhatch/submit"
	"mailhatch/cmd/mailhatch/terminal/terminaltest"
)

// TestProgressOnTerminal shows how much of a large message is sent.
func TestProgressOnTerminal(t *testing.T) {
	keyboard, tty := terminaltest.Open(t)
	m := &submit.Spool{}
	defer m.Close()
	if _, err := m.Write(make([]byte, progressFrom)); err != nil {
		t.Fatal(err)
	}
	c := client{stderr: tty}
	message, done := c.progress(m)
	if _, err := io.Copy(io.Discard, message); err != nil {
		t.Fatal(err)
	}
	done()
	shown, piece := "", make([]byte, 4096)
	for !strings.Contains(shown, "of 1.0 MB") {
		n, err := keyboard.Read(piece)
		if err != nil {
			t.Fatalf("%q, %v", shown, err)
		}
		shown += string(piece[:n])
	}
}
