package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/cmd/mailhatch/terminal/terminaltest"
)

// TestSecretsAreNotShown answers each question when it is asked, and looks at what the terminal shows.
func TestSecretsAreNotShown(t *testing.T) {
	keyboard, tty := terminaltest.Open(t)
	path := filepath.Join(t.TempDir(), "c.toml")
	asked, questions := io.Pipe()
	var out bytes.Buffer
	a := &app{stdin: tty, stdout: &out, stderr: questions}
	done := make(chan int, 1)
	go func() {
		done <- a.main(t.Context(), []string{"init", "--output", path})
		questions.Close()
	}()
	answers := []string{"resend", "app@example.com", "re_hidden", ""}
	in := bufio.NewReader(asked)
	for _, answer := range answers {
		if _, err := in.ReadString(':'); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(answer, "hidden") { // the question names env:NAME and file:/path too
			for range 3 {
				if _, err := in.ReadString(':'); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := keyboard.WriteString(answer + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != 0 {
		t.Fatalf("exit code %d", code)
	}
	b, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(b), `api_key = "re_hidden"`) {
		t.Errorf("%v\n%s", err, b)
	}
	shown := make([]byte, 4096)
	n, err := keyboard.Read(shown)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(shown[:n]); strings.Contains(s, "hidden") || !strings.Contains(s, "app@example.com") {
		t.Errorf("the terminal shows %q", s)
	}
	if strings.Contains(out.String(), "hidden") {
		t.Error("the key is printed")
	}
}
