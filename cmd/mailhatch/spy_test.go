package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// spy is a program of somebody who has an account on the machine and no right to read mail: it prints all that files
// and directories below DIR… show it, and all that sockets there and addresses, HOST:PORT… or smtp:HOST:PORT…, answer to whatever it can think of. cookie:NAME=VALUE is one that it has got hold of.
// What it cannot read it names, with "closed:" in front.
func spy() {
	s := &spying{out: bufio.NewWriter(os.Stdout)}
	defer s.out.Flush() //nolint:errcheck // a pipe of the test
	for _, arg := range os.Args[1:] {
		if cookie, ok := strings.CutPrefix(arg, "cookie:"); ok {
			s.cookie = cookie
			continue
		}
		if filepath.IsAbs(arg) {
			s.walk(arg)
			continue
		}
		s.ask("tcp", arg)
	}
}

type spying struct {
	out    *bufio.Writer
	cookie string // that it has got hold of
}

func (s *spying) closed(what string, err error) { fmt.Fprintf(s.out, "closed: %s: %v\n", what, err) }

func (s *spying) walk(dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			s.closed(path, err)
			return nil
		}
		fmt.Fprintln(s.out, "sees", path)
		switch info, err := d.Info(); {
		case err != nil:
			s.closed(path, err)
		case d.Type()&fs.ModeSocket != 0:
			s.ask("unix", path)
		case d.Type().IsRegular() && info.Mode().Perm() != 0o755: // but for the program
			b, err := os.ReadFile(path)
			if err != nil {
				s.closed(path, err)
				return nil
			}
			fmt.Fprintf(s.out, "reads %s: %s\n", path, b)
		}
		return nil
	})
	// Names that somebody knows are tried without listing what is above them.
	for _, name := range []string{"queue.db", "queue.db-wal", "admin.place", "lost+found", "maildrop", "bodies", "tokens", "admin.sock", "mailhatch.log"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if b, err := os.ReadFile(path); err == nil {
			fmt.Fprintf(s.out, "reads %s: %s\n", path, b)
		}
		if list, err := os.ReadDir(path); err == nil {
			fmt.Fprintln(s.out, "lists", path, list)
		}
		s.ask("unix", path)
	}
}

// ask speaks to who answers there, as whom it likes.
func (s *spying) ask(network, address string) {
	address, isSMTP := strings.CutPrefix(address, "smtp:")
	conn, err := net.DialTimeout(network, address, patience)
	if err != nil {
		s.closed(address, err)
		return
	}
	defer conn.Close()
	fmt.Fprintln(s.out, "opens", address)
	if !isSMTP && filepath.Base(address) != "submit.sock" {
		s.browse(network, address)
		return
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(conn)
	for _, command := range []string{"", "EHLO spy", "VRFY ann", "EXPN ops", "HELP", "MAIL FROM:<spy@example.com>", "RSET", "ETRN example.net", "QUIT"} {
		if command != "" {
			fmt.Fprintf(conn, "%s\r\n", command)
		}
		for line := "-"; len(line) < 4 || line[3] == '-'; {
			if line, err = in.ReadString('\n'); err != nil {
				break
			}
			fmt.Fprintf(s.out, "%s gets %s", command, line)
		}
	}
}

func (s *spying) browse(network, address string) {
	client := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}
	defer client.CloseIdleConnections()
	for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/login", "/login?token=AAAAAAAAAAAAAAAAAAAAAAAAAA", "/messages", "/messages/1", "/upstreams", "/live", "/config",
		"/api/v1/status", "/api/v1/queue", "/api/v1/queue/1", "/api/v1/queue/1/message", "/api/v1/log", "/api/v1/memory/kept", "/api/v1/openapi.yaml", "//api/v1/queue",
		"/mailq", "/debug/pprof/", "/debug/vars", "POST /api/v1/page", "POST /api/v1/reload", "POST /api/v1/queue/delete", "POST /api/v1/login/kept"} {
		for _, header := range []http.Header{{}, {"Accept": {"text/html"}}, {"Cookie": {"mailhatch=AAAAAAAAAAAAAAAAAAAAAAAAAA; __Host-mailhatch=A"}}, {"Cookie": {s.cookie}},
			{"Authorization": {"Bearer wrong"}}, {"X-Forwarded-For": {"127.0.0.1"}, "X-Real-Ip": {"127.0.0.1"}, "X-Forwarded-User": {"root"}}} {
			method, target, ok := strings.Cut(path, " ")
			if !ok {
				method, target = http.MethodGet, path
			}
			req, err := http.NewRequest(method, "http://localhost"+target, strings.NewReader(`{"all":true}`))
			if err != nil {
				s.closed(path, err)
				continue
			}
			req.Header = header
			resp, err := (&http.Client{Transport: client, Timeout: patience, CheckRedirect: stay}).Do(req) // a stream has no end
			if err != nil {
				s.closed(address+path, err)
				continue
			}
			body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
			_ = resp.Body.Close()
			fmt.Fprintf(s.out, "%s %s gets %d %v %s %v\n", method, target, resp.StatusCode, resp.Header, body, err)
		}
	}
}

// stay follows no redirection.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// browse is a program that opens the link in FILE as a browser does, and prints what it gets: statuses, titles and texts.
func browse() {
	text, err := os.ReadFile(os.Args[1])
	check(err)
	jar, err := cookiejar.New(nil)
	check(err)
	tags := regexp.MustCompile(`(?s)<head.*?<title>|<[^>]*>|\s+`)
	client := &http.Client{Jar: jar, CheckRedirect: func(next *http.Request, _ []*http.Request) error {
		fmt.Println(next.Response.StatusCode, "to", next.URL.Path)
		return nil
	}}
	resp, err := client.Get(strings.TrimSpace(string(text)))
	check(err)
	body, err := io.ReadAll(resp.Body)
	check(err)
	for _, c := range jar.Cookies(resp.Request.URL) {
		fmt.Println("has", c)
	}
	fmt.Println(resp.StatusCode, strings.TrimSpace(tags.ReplaceAllString(string(body), " ")))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
