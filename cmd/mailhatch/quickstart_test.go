//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailhatch/test/freeport"
	"mailhatch/upstream/upstreamtest"
)

// newcomer is a directory with bin/mailhatch, in which a shell does what a document says.
type newcomer struct {
	dir string
	env []string
}

// newNewcomer has keys of its own in place of the document's.
func newNewcomer(t *testing.T) newcomer {
	t.Helper()
	dir, err := os.MkdirTemp("", "mh") // names of sockets must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "bin", "mailhatch")); err != nil {
		t.Fatal(err)
	}
	return newcomer{dir, append(os.Environ(), "HOME="+dir, "STATE_DIRECTORY="+filepath.Join(dir, "state"), "MAILHATCH_CONFIG=", "EMAIL=", "LOGNAME=root")}
}

// shell is a command that runs lines as they are in a document.
func (n newcomer) shell(lines string, out *bytes.Buffer) *exec.Cmd {
	cmd := exec.Command("sh", "-e")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(lines), out, out
	cmd.Dir, cmd.Env = n.dir, n.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// run runs lines and wants them to succeed.
func (n newcomer) run(t *testing.T, lines string) string {
	t.Helper()
	var out bytes.Buffer
	if err := n.shell(lines, &out).Run(); err != nil {
		t.Fatalf("%s: %v\n%s", lines, err, &out)
	}
	return out.String()
}

// follow does the two blocks of commands of a quick start: the first one runs the gateway, the second one sends a message.
// It returns when the log says that the upstream has taken it.
func (n newcomer) follow(t *testing.T, start, send string) {
	t.Helper()
	var out bytes.Buffer
	gateway := n.shell(start, &out)
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- gateway.Wait() }()
	defer func() {
		_ = syscall.Kill(-gateway.Process.Pid, syscall.SIGTERM)
		<-ended
	}()
	for n.shell("bin/mailhatch healthcheck", new(bytes.Buffer)).Run() != nil {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the gateway ended: %v\n%s", err, &out)
		case <-time.After(20 * time.Millisecond):
		}
	}
	for shown := n.run(t, send); !strings.Contains(shown, " sent "); shown = n.run(t, "bin/mailhatch log") {
		if regexp.MustCompile(` (failed|held|bounced) `).MatchString(shown) {
			t.Fatal(shown)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// quickStart returns the configs of the README's quick start, by their names, and its blocks of commands.
func quickStart(t *testing.T) (configs map[string]string, commands []string) {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "\n## Quick start\n")
	text, _, _ = strings.Cut(text, "\n## ")
	configs = map[string]string{}
	for _, m := range regexp.MustCompile("(?ms)^\\*\\*([^*\n]+)\\*\\*\n```toml\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		configs[m[1]] = m[2]
	}
	for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		commands = append(commands, m[1])
	}
	return configs, commands
}

// strangers are senders that no provider takes.
func strangers(step upstreamtest.SMTPStep) (re upstreamtest.SMTPReaction) {
	if step.Stage == upstreamtest.SMTPMail && !strings.HasSuffix(step.Address, "@example.com") {
		re.Reply = "550 5.7.1 you may not send as " + step.Address
	}
	return re
}

// TestQuickStarts does what the README says on a machine whose name has no dot, from an account whose name is not an address: each of
// its configs, with nothing but ports and the address of a strict fake added, ends in a mail that was taken.
func TestQuickStarts(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	configs, commands := quickStart(t)
	if len(configs) != 4 || len(commands) != 2 {
		t.Fatalf("%d configs, %d blocks of commands", len(configs), len(commands))
	}
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{TLS: "starttls", Users: map[string]string{"app": "key-1"}, React: strangers})
	fakes := map[string]*upstreamtest.Server{
		"Resend": upstreamtest.NewResend("key-1"), "SendGrid": upstreamtest.NewSendGrid("key-1"), "Mailgun": upstreamtest.NewMailgun("key-1", "example.com"),
	}
	fakes["Resend"].SetDomains(upstreamtest.Domain{Name: "example.com", Status: "verified"})
	for name, fake := range fakes {
		t.Cleanup(fake.Close)
		configs[name] = strings.Replace(configs[name], "type = ", `base_url = "`+fake.URL+"\"\ntype = ", 1)
	}
	configs["SMTP relay"] = strings.NewReplacer(`"smtp.example.com"`, fmt.Sprintf("%q\nca_file = %q", relay.Host, relay.CAFile),
		"port = 587", fmt.Sprintf("port = %d", relay.Port)).Replace(configs["SMTP relay"])

	// Each key has the document's name, and the value that the fakes take.
	start := regexp.MustCompile(`(?m)^export .*$`).ReplaceAllString(commands[0],
		"export RESEND_API_KEY=key-1 SENDGRID_API_KEY=key-1 MAILGUN_API_KEY=key-1 RELAY_PASSWORD=key-1")
	for name, text := range configs {
		t.Run(name, func(t *testing.T) {
			reserved, end := context.WithCancel(t.Context())
			defer end()
			port, err := freeport.Reserve(reserved)
			if err != nil {
				t.Fatal(err)
			}
			n := newNewcomer(t)
			own := fmt.Sprintf("hostname = \"vm\"\n%s\n[[listener]]\naddress = \"127.0.0.1:%d\"\n[admin]\naddress = \"off\"\n", text, port)
			if err := os.WriteFile(filepath.Join(n.dir, "mailhatch.toml"), []byte(own), 0o600); err != nil {
				t.Fatal(err)
			}
			n.follow(t, start, commands[1])
			if fake := fakes[name]; fake != nil {
				if mails := fake.Accepted(); len(mails) != 1 || !strings.Contains(fmt.Sprint(mails[0]), "noreply@example.com") || !slices.Contains(mails[0].Recipients, "you@example.org") {
					t.Errorf("%+v; refused: %q", mails, fake.Rejected())
				}
			}
		})
	}
	if taken := relay.Taken(); len(taken) != 1 || taken[0].From != "noreply@example.com" || !taken[0].TLS || taken[0].To[0].Address != "you@example.org" {
		t.Errorf("%+v", taken)
	}
}

// TestGettingStarted: the config in doc/getting-started.md is what the command above it writes.
func TestGettingStarted(t *testing.T) {
	b, err := os.ReadFile("../../doc/getting-started.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```sh\n(bin/mailhatch init [^\n]+)\n```.*?```toml\n(.*?)```").FindStringSubmatch(string(b))
	if m == nil {
		t.Fatal("no init with a config after it")
	}
	n := newNewcomer(t)
	n.run(t, m[1])
	written, err := os.ReadFile(filepath.Join(n.dir, "mailhatch.toml"))
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)```text\n(.*?)```").FindStringSubmatch(string(b))
	slip := strings.Replace(string(written), "api_key =", "api_kye =", 1)
	if err := os.WriteFile(filepath.Join(n.dir, "mailhatch.toml"), []byte(slip), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	if err := n.shell("bin/mailhatch check", &said).Run(); err == nil || shown == nil || !strings.Contains(said.String(), shown[1]) {
		t.Errorf("the document shows what check does not say: %v\n%s", err, &said)
	}
	bare := func(text string) string { return regexp.MustCompile(`(?m)^(#.*)?\n`).ReplaceAllString(text, "") }
	if bare(string(written)) != bare(m[2]) {
		t.Errorf("init writes\n%s\nand the document has\n%s", written, m[2])
	}
}
