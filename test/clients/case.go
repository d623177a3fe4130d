package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// testCase is a program and the ways in which it can send. Its file is a shell script that is called with
// the way as its argument. Lines "# key: words" at its start say
//
//	needs    commands, and files by their paths
//	ways     smtp, tls (with a password) and sendmail
//	carries  what the program can do beside To, subject and text: cc, bcc, attachment
//	ascii    subject, text: those that are kept plain for this program
//	dots     "no": the text has no lines that begin with a dot, which the program does not carry
//	text     "contains": the program adds text of its own
//	sender   the envelope sender, where it is not $FROM; also the From address where from does not say
//	from     the address in From
//	to       the recipients, where they are not $TO and what carries adds
type testCase struct {
	name, path string
	needs      []string
	ways       []string
	carries    []string
	ascii      []string
	noDots     bool
	contains   bool
	sender     string
	from       string
	to         []string
}

func readCases(dir string, names []string) ([]testCase, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.sh"))
	if err != nil {
		return nil, err
	}
	var list []testCase
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".sh")
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		c, err := readCase(name, path)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no cases in %s", dir)
	}
	return list, nil
}

func readCase(name, path string) (testCase, error) {
	c := testCase{name: name}
	b, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	if c.path, err = filepath.Abs(path); err != nil {
		return c, err
	}
	c.sender = sender
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "# "), ": ")
		if !strings.HasPrefix(line, "#") {
			break
		}
		if !ok {
			continue
		}
		words := strings.Fields(os.Expand(value, caseVariable))
		switch key {
		case "needs":
			c.needs = words
		case "ways":
			c.ways = words
		case "carries":
			c.carries = words
		case "ascii":
			c.ascii = words
		case "dots":
			c.noDots = value == "no"
		case "text":
			c.contains = value == "contains"
		case "sender":
			c.sender = words[0]
		case "from":
			c.from = words[0]
		case "to":
			c.to = words
		}
	}
	if len(c.ways) == 0 {
		return c, fmt.Errorf("%s has no line \"# ways: …\"", path)
	}
	return c, nil
}

// caseVariable is what headers of cases may name.
func caseVariable(name string) string {
	if name == "ACCOUNT" {
		return accountName()
	}
	return ""
}

// missing names the first thing that the case needs and that is not here.
func (c *testCase) missing() string {
	for _, need := range c.needs {
		if strings.Contains(need, "/") {
			if _, err := os.Stat(need); err != nil {
				return need
			}
			continue
		}
		if !commandExists(need) {
			return need
		}
	}
	return ""
}

// unpacked is where test/clients/install puts what cannot be installed beside the machine's mail server.
const unpacked = "/opt/mailhatch-clients/usr/bin"

func commandExists(name string) bool {
	if _, err := exec.LookPath(name); err == nil {
		return true
	}
	_, err := os.Stat(filepath.Join(unpacked, name))
	return err == nil
}

const (
	sendLimit = 60 * time.Second // of one program; the JVM is slow to start on a busy machine
	killAfter = 5 * time.Second
)

// send lets the program send, waits for the mail and checks it.
func (c *testCase) send(ctx context.Context, g *gateway, way string) error {
	m, err := c.order(g.dir, way)
	if err != nil {
		return err
	}
	defer os.RemoveAll(m.dir)
	before, err := g.received(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-eu", c.path, way)
	cmd.WaitDelay = killAfter
	cmd.Dir = m.dir
	cmd.Env = append(m.environment(), g.environment()...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w\n%s", err, out.String())
	}
	got, err := g.await(ctx, len(before), len(m.to))
	if err == nil {
		err = m.check(got)
	}
	if err != nil && out.Len() > 0 {
		err = errors.Join(err, errors.New("the program said: "+strings.TrimSpace(out.String())))
	}
	return err
}

// carried lists what was checked.
func (c *testCase) carried() string {
	what := []string{"envelope", "From"}
	what = append(what, "subject", "text")
	for _, w := range c.carries {
		if w == "attachment" {
			w = "file"
		}
		what = append(what, w)
	}
	return strings.Join(what, ", ")
}
