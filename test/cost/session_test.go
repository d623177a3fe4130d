package cost

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/smtpd"
	"mailhatch/mime/mimetest"
)

const (
	hello   = "EHLO app.example.com\r\n"
	to      = "MAIL FROM:<app@example.com>\r\nRCPT TO:<ann@example.org>\r\n"
	longest = 12 << 10 // of a command line
)

// dialogs are what clients send on one connection or several, in proportion to a number of bytes.
var dialogs = map[string]func(n int) []string{
	"long commands":     func(n int) []string { return lines(n, "NOOP "+strings.Repeat("x", longest-100)) },
	"commands too long": func(n int) []string { return lines(n, strings.Repeat("x", 2*longest)) },
	"short commands":    func(n int) []string { return lines(n/20, "NOOP") },
	"unknown commands":  func(n int) []string { return lines(n, strings.Repeat("X", 500)) },
	"bare newlines":     func(n int) []string { return lines(n, strings.Repeat("\n", 1000)) },
	"binary":            func(n int) []string { return lines(n, strings.Repeat("\x00\xff\r\x80", 300)) },
	"parameters": func(n int) []string {
		return lines(n, "MAIL FROM:<a@example.com>"+strings.Repeat(" X=1", longest/4-50)+"\r\nRSET")
	},
	"source routes": func(n int) []string {
		return lines(n, "MAIL FROM:<"+strings.Repeat("@a,", longest/3-50)+":a@example.com>\r\nRSET")
	},
	"quoted local parts": func(n int) []string {
		return lines(n, `MAIL FROM:<"`+strings.Repeat(`\"`, longest/2-50)+`"@example.com>`+"\r\nRSET")
	},
	"comments": func(n int) []string {
		return lines(n, "MAIL FROM:"+strings.Repeat("(", longest/2-50)+strings.Repeat(")", longest/2-50)+"\r\nRSET")
	},
	"begun and reset": func(n int) []string { return lines(n, strings.TrimSuffix(to, "\r\n")+"\r\nRSET") },
	"greetings":       func(n int) []string { return lines(n, "EHLO "+strings.Repeat("a.", longest/4)+"example") },
	"recipients": func(n int) []string {
		return crowd(n, func(i int) string { return fmt.Sprintf("ann%d@example.org", i) })
	},
	"one recipient":      func(n int) []string { return crowd(n, func(int) string { return "ann@example.org" }) },
	"refused recipients": func(n int) []string { return crowd(n, func(i int) string { return fmt.Sprintf("ann%d@@", i) }) },
	"long recipients": func(n int) []string {
		return crowd(n, func(i int) string { return fmt.Sprintf("%s%d@example.org", strings.Repeat("a.", 100)+"a", i) })
	},
	"dots":              func(n int) []string { return data(strings.Repeat("..\r\n", n/4)) },
	"carriage returns":  func(n int) []string { return data("\r\n" + strings.Repeat("\r", n)) },
	"line feeds":        func(n int) []string { return data("\r\n" + strings.Repeat("\n", n)) },
	"almost the end":    func(n int) []string { return data("\r\n" + strings.Repeat("\n.\r", n/3)) },
	"no line ends":      func(n int) []string { return data("\r\n" + strings.Repeat("x", n)) },
	"bare header lines": func(n int) []string { return data(strings.Repeat("X-A: b\r", n/7) + "\r\n\r\n") },
}

// lines fills connections with commands, not more on each than a server bears.
func lines(n int, line string) (all []string) {
	const bear = 15
	for n > 0 {
		text := hello
		for range bear {
			text += line + "\r\n"
		}
		all, n = append(all, text+"QUIT\r\n"), n-len(text)
	}
	return all
}

// crowd is a mail to as many recipients as n/100.
func crowd(n int, address func(i int) string) []string {
	var text strings.Builder
	text.WriteString(hello + "MAIL FROM:<app@example.com>\r\n")
	for i := range n / 100 {
		fmt.Fprintf(&text, "RCPT TO:<%s>\r\n", address(i))
	}
	return []string{text.String() + "DATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n"}
}

// data is a mail.
func data(text string) []string {
	return []string{hello + to + "DATA\r\n" + text + "\r\n.\r\nQUIT\r\n"}
}

// TestHostileSessions: what a client sends costs no more than in proportion to its bytes, at the door of a listener.
func TestHostileSessions(t *testing.T) {
	const (
		size = 80 << 10
		most = 200 * time.Millisecond // of twice that
	)
	skipRace(t)
	addr := newRig(t).listen(t)
	texts := maps.Clone(dialogs)
	small, large := mimetest.Hostile(size), mimetest.Hostile(2*size)
	for name := range small {
		texts["message: "+name] = func(n int) []string {
			if n > size {
				return data(stuffed(large[name]))
			}
			return data(stuffed(small[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		took := mimetest.CheckLinear(t, name, size, func(n int) func() {
			sessions := texts[name](n)
			return func() { talk(t, addr, sessions) }
		})
		t.Logf("%s: %v", name, took)
		if took > most {
			t.Errorf("%s: %v for %d bytes", name, took, 2*size)
		}
	}
}

// stuffed doubles the dots that begin lines.
func stuffed(text string) string { return strings.ReplaceAll("\n"+text, "\n.", "\n..")[1:] }

// listen serves SMTP at the rig's door.
func (r *rig) listen(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := smtpd.New(smtpd.Config{Hostname: "gw.example.com", MaxMessage: 40 << 20, MaxRecipients: 5000, MinRate: -1}, r.door, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// talk sends texts, each on a connection, and reads what is said to them.
func talk(t *testing.T, addr string, texts []string) {
	for _, text := range texts {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan struct{})
		go func() { defer close(read); _, _ = io.Copy(io.Discard, c) }()
		_, _ = io.WriteString(c, text) // the server may have had enough of it
		_ = c.(*net.TCPConn).CloseWrite()
		<-read
		_ = c.Close()
	}
}
