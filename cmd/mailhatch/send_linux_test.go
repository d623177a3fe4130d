package main

import (
	"bytes"
	"strings"
	"testing"

	"mailhatch/cmd/mailhatch/send"
	"mailhatch/cmd/mailhatch/terminal/terminaltest"
)

// TestTextFromTerminal reads a message that is typed.
func TestTextFromTerminal(t *testing.T) {
	keyboard, tty := terminaltest.Open(t)
	if _, err := keyboard.WriteString("typed\n\x04"); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	a := &app{stdin: tty, stderr: &shown}
	l := send.Letter{}
	if err := a.readText(&l); err != nil || l.Text != "typed\n" || !strings.Contains(shown.String(), "Ctrl-D") {
		t.Errorf("%v: %q, shown %q", err, l.Text, shown.String())
	}
}
