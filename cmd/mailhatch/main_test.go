package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"

	"github.com/rogpeppe/go-internal/testscript"

	"mailhatch/test/freeport"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/fakes"
)

func TestMain(m *testing.M) {
	if os.Getenv("GORACE") == "" { // programs end without the second that the race detector waits by default
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	run := func() { os.Exit(realMain()) }
	testscript.Main(m, map[string]func(){"mailhatch": run, "sendmail": run, "mailq": run, "newaliases": run, "spy": spy, "browse": browse})
}

// TestScripts runs the whole program as people do.
func TestScripts(t *testing.T) { runScripts(t, "testdata/script", scriptCommands(), nil) }

// runScripts runs the scripts of a directory. Each has free ports in $PORT, $ADMIN and $METRICS and a strict fake of
// Resend at $RESEND that takes the key "re_key", and a strict token endpoint at $TOKENS that knows the application "app-1"; their own commands are in scriptCommands.
func runScripts(t *testing.T, dir string, commands map[string]func(*testscript.TestScript, bool, []string), also map[string]bool) {
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			reserved, end := context.WithCancel(context.Background())
			env.Defer(end)
			for _, name := range []string{"PORT", "ADMIN", "METRICS"} {
				port, err := freeport.Reserve(reserved)
				if err != nil {
					return err
				}
				env.Setenv(name, strconv.Itoa(port))
			}
			fake := upstreamtest.NewResend("re_key")
			env.Defer(fake.Close)
			env.Values["resend"] = fake
			sendgrid := upstreamtest.NewSendGrid("SG.key")
			env.Defer(sendgrid.Close)
			env.Values["sendgrid"] = sendgrid
			env.Setenv("SENDGRID", sendgrid.URL)
			tokens := fakes.NewTokens(fakes.TokenSettings{ClientID: "app-1", Life: time.Hour})
			env.Defer(tokens.Close)
			env.Values["tokens"] = tokens
			env.Setenv("TOKENS", tokens.URL)
			// Names of sockets must be short: the working directories of scripts are not.
			run, err := os.MkdirTemp("", "mh")
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(run) })
			env.Setenv("RESEND", fake.URL)
			env.Setenv("RUN", run)
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Setenv("STATE_DIRECTORY", filepath.Join(run, "state"))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if holds, known := also[cond]; known {
				return holds, nil
			}
			return condition(cond)
		},
		Cmds: commands,
	})
}

func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	commands := accountCommands()
	if commands == nil {
		commands = map[string]func(*testscript.TestScript, bool, []string){}
	}
	maps.Copy(commands, map[string]func(*testscript.TestScript, bool, []string){
		"held":  held,
		"await": await, "accepted": accepted, "fill": fill, "mail": arrived, "each": each, "burst": burst, "domain": domain, "refuse": refuse, "senders": senders, "requests": requests, "waitfor": waitfor, "id": idOf,
		"examples": examples, "cookie": cookie, "consent": consent, "application": application,
	})
	return commands
}

// refuse makes the fake refuse all mail to ADDRESS for good.
func refuse(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: refuse ADDRESS")
	}
	ts.Value("resend").(*upstreamtest.Server).Refuse(args, upstreamtest.Fault{Status: 422,
		Body: `{"statusCode":422,"name":"validation_error","message":"Invalid to field."}`})
}

// senders makes SendGrid's fake take mail from these addresses alone; none: from all.
func senders(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: senders [ADDRESS…]")
	}
	ts.Value("sendgrid").(*upstreamtest.Server).SetSenders(args...)
}

// requests waits until SendGrid's fake was asked to send N times, or more often than when this was used last; $REQUESTS
// is how often it was.
func requests(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: requests N|more")
	}
	fake := ts.Value("sendgrid").(*upstreamtest.Server)
	before, _ := strconv.Atoi(ts.Getenv("REQUESTS"))
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		now := fake.Requests()
		if args[0] == "more" && now > before || strconv.Itoa(now) == args[0] {
			ts.Setenv("REQUESTS", strconv.Itoa(now))
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%d requests, want %s (%d before)", now, args[0], before)
		}
	}
}

// examples writes the examples for a shell in DOCUMENT, a path from here, to FILE; they are about this script's gateway
// and the newest message that is held there, whose id is in $ID.
func examples(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: examples DOCUMENT FILE")
	}
	text, err := os.ReadFile(filepath.FromSlash(args[0]))
	ts.Check(err)
	here := strings.NewReplacer("127.0.0.1:8025", "127.0.0.1:"+ts.Getenv("ADMIN"), "/run/mailhatch/", ts.Getenv("RUN")+"/")
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		script.WriteString(here.Replace(block[1]))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(script.String()), 0o600))
	out, err := program(ts, self, "mailhatch", "-c", ts.MkAbs("c.toml"), "queue", "list", "--state", "held", "--json").Output()
	ts.Check(err)
	var m api.Message
	ts.Check(json.NewDecoder(bytes.NewReader(out)).Decode(&m))
	ts.Setenv("ID", m.ID)
}

// cookie puts the cookie that browse has written to FILE into $COOKIE.
func cookie(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: cookie FILE")
	}
	m := regexp.MustCompile(`(?m)^has (\S+)$`).FindStringSubmatch(ts.ReadFile(args[0]))
	if m == nil {
		ts.Fatalf("no cookie in %s", args[0])
	}
	ts.Setenv("COOKIE", m[1])
}

// await waits until ADDRESS, HOST:PORT or unix:PATH, accepts connections.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await ADDRESS")
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		network, address := "tcp", args[0]
		if path, ok := strings.CutPrefix(address, "unix:"); ok {
			network, address = "unix", path
		}
		c, err := net.Dial(network, address)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nothing answers at %s: %v", args[0], err)
		}
	}
}

// accepted waits until the fake has N mails, and writes the last one's subject, recipients and text.
func accepted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: accepted N")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	fake := ts.Value("resend").(*upstreamtest.Server)
	deadline := time.Now().Add(20 * time.Second)
	for len(fake.Accepted()) < want {
		if time.Now().After(deadline) {
			ts.Fatalf("%d mails taken, want %d; refused: %q", len(fake.Accepted()), want, fake.Rejected())
		}
		time.Sleep(5 * time.Millisecond)
	}
	for _, m := range fake.Accepted() {
		ts.Logf("taken: %s to %q: %s", m.Subject, m.Recipients, m.Text)
	}
}

// domain changes what the fake knows of a sending domain.
func domain(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: domain NAME STATUS")
	}
	ts.Value("resend").(*upstreamtest.Server).SetDomains(upstreamtest.Domain{Name: args[0], Status: args[1]})
}

// application writes application.pem and application.key, a certificate that ends after so many DAYS.
func application(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: application DAYS")
	}
	days, err := strconv.Atoi(args[0])
	ts.Check(err)
	_, err = fakes.NewApplication(ts.Getenv("WORK"), "app-1", time.Now().Add(time.Duration(days)*24*time.Hour))
	ts.Check(err)
}

// consent waits until N codes were shown for a login in all, and consents to them; with ! it does not consent.
func consent(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: consent N")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	tokens := ts.Value("tokens").(*fakes.Tokens)
	for deadline := time.Now().Add(patience); tokens.Codes() < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("%d codes were shown, want %d", tokens.Codes(), want)
		}
	}
	if !neg {
		tokens.Consent()
	}
}

// fill replaces $NAME in files by the environment.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fill FILE…")
	}
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}
