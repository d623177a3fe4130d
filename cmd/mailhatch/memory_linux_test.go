package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/mime/mimetest"
	"mailhatch/test/freeport"
	"mailhatch/upstream/upstreamtest"
)

const (
	largeSize   = 37 << 20  // bytes of a message
	memoryLimit = 250 << 20 // bytes that the process may need for any number of them
)

// TestLargeMailsMemory has clients hand over large mails of all shapes at the same time, for all kinds of
// upstreams, and looks at the most memory that the process had. A benchmark does it with 64.
func TestLargeMailsMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	if testing.Short() {
		t.Skip("16 mails of 37 MiB: not in a short run")
	}
	largeMails(t, 16)
}

// BenchmarkLargeMailsMemory has 64 mails of 37 MiB on their way at once.
func BenchmarkLargeMailsMemory(b *testing.B) {
	for b.Loop() {
		peak, spent := largeMails(b, 64)
		b.ReportMetric(float64(peak>>20), "MB")
		b.ReportMetric(spent.Seconds(), "CPU-s")
	}
}

// largeMails sends n mails at once and awaits their delivery.
func largeMails(t testing.TB, n int) (peak int64, spent time.Duration) {
	taken := &takenMail{}
	p, addr := serveLarge(t, taken)
	shapes := mimetest.LargeMessages(largeSize)
	names := slices.Sorted(maps.Keys(shapes))
	kinds := []string{"resend", "sendgrid", "mailgun", "relay", "memory", "file"}
	var clients sync.WaitGroup
	for i := range n {
		clients.Go(func() {
			if err := handOverLarge(addr, fmt.Sprintf("b@%s.example.org", kinds[i%len(kinds)]), shapes[names[i%len(names)]]); err != nil {
				t.Errorf("%s: %v", names[i%len(names)], err)
			}
		})
	}
	clients.Wait()
	for deadline := time.Now().Add(5 * time.Minute); taken.n.Load()+int64(n/len(kinds)*2) < int64(n); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d mails came through", taken.n.Load(), n)
		}
		select {
		case <-p.ended:
			t.Fatalf("it ended by itself:\n%s", p.log)
		default:
		}
	}
	peak = statusBytes(t, p.cmd.Process.Pid, "VmHWM")
	_ = p.cmd.Process.Signal(os.Interrupt)
	<-p.ended
	spent = p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	t.Logf("%d mails: at most %d MB, %v of CPU", n, peak>>20, spent)
	if peak > memoryLimit {
		t.Errorf("%d MB for %d mails", peak>>20, n)
	}
	return peak, spent
}

// TestLargeHeadersMemory has clients hand over mails with headers of 1 MB at the same time. A benchmark does it with more of
// them, and with headers of more sorts.
func TestLargeHeadersMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	if testing.Short() {
		t.Skip("32 mails whose headers take a tenth of a second each: not in a short run")
	}
	largeHeaders(t, 32, "addresses")
}

// BenchmarkLargeHeadersMemory has 64 mails with the same sort of header on their way at once.
func BenchmarkLargeHeadersMemory(b *testing.B) {
	for _, name := range []string{"addresses", "true addresses", "many fields", "fields", "raw 8-bit fields", "half quotes", "words"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(float64(largeHeaders(b, 64, name)>>20), "MB")
			}
		})
	}
}

// heldMail is a message in memory.
type heldMail string

func (m heldMail) Open() io.Reader { return strings.NewReader(string(m)) }

// largeHeaders sends n mails at once and awaits the delivery of those that are taken.
func largeHeaders(t testing.TB, n int, name string) (peak int64) {
	taken := &takenMail{}
	p, addr := serveLarge(t, taken)
	m := heldMail(mimetest.Hostile(1_000_000)[name])
	var clients sync.WaitGroup
	var kept atomic.Int64
	for range n {
		clients.Go(func() {
			switch err := handOverLarge(addr, "b@relay.example.org", m); {
			case err == nil:
				kept.Add(1)
			case !strings.Contains(err.Error(), "got \"5"): // no answer, for a refusal is one
				t.Error(err)
			}
		})
	}
	clients.Wait()
	for deadline := time.Now().Add(5 * time.Minute); taken.n.Load() < kept.Load(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d mails came through", taken.n.Load(), kept.Load())
		}
	}
	peak = statusBytes(t, p.cmd.Process.Pid, "VmHWM")
	_ = p.cmd.Process.Signal(os.Interrupt)
	<-p.ended
	t.Logf("%d mails, %d taken: at most %d MB, %v of CPU", n, kept.Load(), peak>>20, p.cmd.ProcessState.UserTime()+p.cmd.ProcessState.SystemTime())
	if peak > memoryLimit {
		t.Errorf("%d MB for %d mails", peak>>20, n)
	}
	return peak
}

// takenMail counts the requests of APIs.
type takenMail struct{ n atomic.Int64 }

// ServeHTTP takes everything, as Resend, SendGrid and Mailgun do.
func (m *takenMail) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n, err := io.Copy(io.Discard, r.Body); err != nil || n != r.ContentLength {
		return
	}
	m.n.Add(1)
	if strings.HasSuffix(r.URL.Path, "/mail/send") {
		w.WriteHeader(http.StatusAccepted)
	}
	fmt.Fprintf(w, `{"id":"%d","message":"Queued. Thank you."}`, m.n.Load())
}

// serveLarge starts a process with every kind of upstream.
func serveLarge(t testing.TB, taken *takenMail) (*process, string) {
	t.Helper()
	api := httptest.NewServer(taken)
	t.Cleanup(api.Close)
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Discard: true, React: func(s upstreamtest.SMTPStep) upstreamtest.SMTPReaction {
		if s.Stage == upstreamtest.SMTPDot {
			taken.n.Add(1)
		}
		return upstreamtest.SMTPReaction{}
	}})
	addr := freeport.Addr(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "config.toml")
	config := fmt.Sprintf(`state_dir = %[1]q
[[listener]]
address = %[2]q
[upstream.resend]
type = "resend"
api_key = "k"
base_url = %[3]q
timeout = "5m"
[upstream.sendgrid]
type = "sendgrid"
api_key = "k"
base_url = %[3]q
timeout = "5m"
[upstream.mailgun]
type = "mailgun"
domain = "mg.example.com"
api_key = "k"
base_url = %[3]q
timeout = "5m"
[upstream.relay]
type = "smtp"
host = %[4]q
port = %[5]d
tls = "none"
[upstream.memory]
type = "memory"
[upstream.file]
type = "file"
path = %[6]q
[queue]
retry = ["100ms"]
[admin]
address = "off"
[log]
level = "warn"
`, filepath.Join(dir, "state"), addr, api.URL, relay.Host, relay.Port, filepath.Join(dir, "maildir"))
	for _, kind := range []string{"resend", "sendgrid", "mailgun", "relay", "memory", "file"} {
		config += fmt.Sprintf("[[route]]\nto = [\"*@%[1]s.example.org\"]\nvia = [%[1]q, %[2]q]\n", kind, map[bool]string{true: "file", false: "relay"}[kind == "relay"])
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(cmp.Or(os.Getenv("MAILHATCH_BINARY"), exe)), log: &bytes.Buffer{}, ended: make(chan struct{})}
	p.cmd.Args = []string{"mailhatch", "serve", "-c", file}
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.ended); _ = p.cmd.Wait() }()
	t.Cleanup(p.kill)
	for {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return p, addr
		}
		select {
		case <-p.ended:
			t.Fatalf("it did not start:\n%s", p.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// handOverLarge sends one message, again and again while the gateway has no room for it.
func handOverLarge(addr, to string, m interface{ Open() io.Reader }) error {
	for {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		reply, err := tryLarge(c, to, m)
		c.Close()
		if err != nil || strings.HasPrefix(reply, "250") {
			return err
		}
		if !strings.HasPrefix(reply, "45") {
			return fmt.Errorf("got %q", reply)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func tryLarge(c net.Conn, to string, m interface{ Open() io.Reader }) (reply string, err error) {
	for _, command := range []string{"", "HELO client\r\n", "MAIL FROM:<a@example.com>\r\n", "RCPT TO:<" + to + ">\r\n", "DATA\r\n"} {
		if reply = roundTrip(c, command, 1); reply == "" || reply[0] > '3' {
			return reply, nil
		}
	}
	_ = c.SetDeadline(time.Now().Add(5 * time.Minute))
	if _, err := io.CopyBuffer(struct{ io.Writer }{c}, m.Open(), make([]byte, 64<<10)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, "\r\n.\r\n"); err != nil {
		return "", err
	}
	b := make([]byte, 512)
	n, err := c.Read(b)
	return string(b[:n]), err
}

// statusBytes is a line of a process's status.
func statusBytes(t testing.TB, pid int, name string) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatalf("no %s in the status", name)
	return 0
}
