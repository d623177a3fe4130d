package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest/hostile"
)

// sinkAnswers are what each API says to a mail that it took.
var sinkAnswers = map[string]struct {
	status int
	body   string
}{
	"resend": {200, `{"id":"1"}`}, "sendgrid": {202, ""}, "mailgun": {200, `{"id":"<1>","message":"Queued. Thank you."}`},
}

// openSink makes an upstream whose provider forgets what it is sent.
func openSink(b *testing.B, kind string) upstream.Upstream {
	b.Helper()
	var settings string
	if kind == "smtp" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = l.Close() })
		go acceptSMTP(l)
		settings = fmt.Sprintf("host = '127.0.0.1'\nport = %d\ntls = 'none'\n", l.Addr().(*net.TCPAddr).Port)
	} else {
		answer := sinkAnswers[kind]
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("X-Message-Id", "1")
			w.WriteHeader(answer.status)
			_, _ = io.WriteString(w, answer.body)
		}))
		b.Cleanup(server.Close)
		settings = "api_key = 'k'\nbase_url = '" + server.URL + "'\n"
		if kind == "mailgun" {
			settings += "domain = 'mg.example.com'\n"
		}
	}
	up, err := openKind(kind, settings)
	if err != nil {
		b.Fatal(err)
	}
	if c, ok := up.(io.Closer); ok {
		b.Cleanup(func() { _ = c.Close() })
	}
	return up
}

// acceptSMTP serves until l is closed; connections end with their clients.
func acceptSMTP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close() //nolint:errcheck // a sink
			_, _ = io.WriteString(c, "220 sink\r\n")
			r := bufio.NewReader(c)
			for data := false; ; {
				line, err := r.ReadSlice('\n')
				if err != nil {
					return
				}
				switch verb := strings.ToUpper(string(line[:min(4, len(line))])); {
				case data && string(line) == ".\r\n":
					data = false
					_, _ = io.WriteString(c, "250 kept\r\n")
				case data:
				case verb == "EHLO":
					_, _ = io.WriteString(c, "250-sink\r\n250-SIZE\r\n250 8BITMIME\r\n")
				case verb == "DATA":
					data = true
					_, _ = io.WriteString(c, "354 go on\r\n")
				default:
					_, _ = io.WriteString(c, "250 ok\r\n")
				}
			}
		}()
	}
}

// BenchmarkLargeMail sends a message of 35 MB with a file of 25 MB, or the largest that the API takes,
// four at once, and reports the greatest heap in use, that of the sink included.
func BenchmarkLargeMail(b *testing.B) {
	for _, row := range []struct {
		kind string
		size int64 // of the file in base64, with line ends
	}{{"resend", 35_000_000}, {"sendgrid", 31_000_000}, {"mailgun", 26_000_000}, {"smtp", 35_000_000}} {
		b.Run(row.kind, func(b *testing.B) {
			up := openSink(b, row.kind)
			b.SetBytes(4 * row.size)
			stop, peak := make(chan struct{}), make(chan uint64)
			runtime.GC()
			go hostile.SamplePeak(stop, peak)
			for b.Loop() {
				var wait sync.WaitGroup
				for range 4 {
					wait.Go(func() {
						msg, err := mime.Parse(bigMessage(row.size))
						if err != nil {
							b.Error(err)
							return
						}
						m := &upstream.Mail{ID: "Q", From: "app@example.com", To: []upstream.Recipient{{Address: "ann@example.org"}}, Message: msg}
						if out := up.Send(b.Context(), m); out[0].Err != nil {
							b.Error(out[0].Err)
						}
					})
				}
				wait.Wait()
			}
			close(stop)
			b.ReportMetric(float64(<-peak)/1e6, "peak-MB")
		})
	}
}

// smallMail is 4 KiB of text.
var smallMail = []byte(strings.ReplaceAll("Received: from app (app [127.0.0.1]) by gw; Tue, 03 Feb 2026 10:20:30 +0100\n"+
	"From: App <app@example.com>\nTo: Ann <ann@example.org>\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\nDate: Tue, 03 Feb 2026 10:20:30 +0100\n"+
	"Message-ID: <m@x.org>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n"+strings.Repeat("A line of sixty-four characters, the line end counted as one.\n", 64), "\n", "\r\n"))

// BenchmarkPreflight judges 4 KiB of text.
func BenchmarkPreflight(b *testing.B) {
	msg, err := mime.Parse(mime.NewBytesSource(smallMail))
	if err != nil {
		b.Fatal(err)
	}
	m := &upstream.Mail{ID: "Q", From: "app@example.com", To: []upstream.Recipient{{Address: "ann@example.org"}}, Message: msg}
	for _, kind := range []string{"resend", "sendgrid", "mailgun", "smtp"} {
		b.Run(kind, func(b *testing.B) {
			up := openSink(b, kind).(upstream.Preflighter)
			b.ReportAllocs()
			for b.Loop() {
				if err := up.Preflight(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSmallMail sends 4 KiB of text, from parsing to the answer, 16 at once on two cores.
func BenchmarkSmallMail(b *testing.B) {
	for _, kind := range []string{"resend", "sendgrid", "mailgun", "smtp"} {
		b.Run(kind, func(b *testing.B) {
			up := openSink(b, kind)
			b.SetParallelism(8)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					msg, err := mime.Parse(mime.NewBytesSource(smallMail))
					if err != nil {
						b.Error(err)
						return
					}
					m := &upstream.Mail{ID: "Q", From: "app@example.com", To: []upstream.Recipient{{Address: "ann@example.org"}}, Message: msg}
					if out := up.Send(b.Context(), m); out[0].Err != nil {
						b.Error(out[0].Err)
						return
					}
				}
			})
		})
	}
}
