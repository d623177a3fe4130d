package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/user"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestAccountScripts runs the scripts of testdata/account four times: as the gateway's own account (root, where
// root runs the tests) and as another one, with the gateway running and not. They have the conditions [down]
// and [other], the account's name in $ME, and the commands run and burst of that account.
func TestAccountScripts(t *testing.T) {
	for who, uid := range map[string]caller{"self": self, "other": nobodyUID} {
		for _, gate := range []string{"up", "down"} {
			t.Run(who+" "+gate, func(t *testing.T) {
				if root, _ := condition("root"); uid != self && !root {
					t.Skip("needs root on Linux: it runs programs in another account")
				}
				runScripts(t, "testdata/account", commandsOf(uid), map[string]bool{"down": gate == "down", "other": uid != self})
			})
		}
	}
}

// commandsOf are the commands of scripts for an account. "run" is for this account, or for that of the
// number in $ACCOUNT.
func commandsOf(uid caller) map[string]func(*testscript.TestScript, bool, []string) {
	commands := scriptCommands()
	maps.Copy(commands, map[string]func(*testscript.TestScript, bool, []string){
		"run": func(ts *testscript.TestScript, neg bool, args []string) {
			who := uid
			if n, err := strconv.Atoi(ts.Getenv("ACCOUNT")); err == nil {
				who = caller(n)
			}
			runAs(ts, neg, args, who)
		},
		"burst": func(ts *testscript.TestScript, neg bool, args []string) { burstAs(ts, neg, args, uid) },
		"whoami": func(ts *testscript.TestScript, _ bool, _ []string) {
			number := os.Getuid()
			if uid != self {
				number = int(uid)
			}
			name := "uid" + strconv.Itoa(number)
			if u, err := user.LookupId(strconv.Itoa(number)); err == nil {
				name = u.Username
			}
			ts.Setenv("ME", name)
		},
		"large": large, "crlf": crlf,
	})
	return commands
}

// large writes a message of 2 MB to FILE.
func large(ts *testscript.TestScript, _ bool, args []string) {
	text := "Subject: large\n\n" + strings.Repeat(strings.Repeat("x", 63)+"\n", 2<<20/64)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// crlf rewrites FILE with CRLF line ends.
func crlf(ts *testscript.TestScript, _ bool, args []string) {
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "\n", "\r\n")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// held waits until a message with this SUBJECT is held in the queue of CONFIG, and writes its envelope to FILE.
func held(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: held CONFIG SUBJECT FILE")
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		out, err := program(ts, self, "mailhatch", "-c", ts.MkAbs(args[0]), "queue", "list", "--json").Output()
		ts.Check(err)
		for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
			var m api.Message
			ts.Check(dec.Decode(&m))
			if m.Header.Subject != args[1] {
				continue
			}
			text, err := json.MarshalIndent(m.Envelope, "", " ")
			ts.Check(err)
			ts.Check(os.WriteFile(ts.MkAbs(args[2]), text, 0o600))
			return
		}
	}
	ts.Fatalf("no message %q is held", args[1])
}
