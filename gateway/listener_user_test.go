package gateway

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func plainAuth(name, password string) string {
	return "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+name+"\x00"+password))
}

const senders = `[[listener]]
address = "ADDR"
auth = "required"
[[listener.user]]
name = "app"
password = "pw"
allow_from = ["*@app.example.com", "!root@*"]
[[listener.user]]
name = "any"
password = "pw"
`

func TestAllowFrom(t *testing.T) {
	h := newHouse(t, senders+holding)
	for _, tc := range []struct{ user, from, want string }{
		{"app", "<x@app.example.com>", "250"},
		{"app", "<X@APP.EXAMPLE.COM>", "250"},
		{"app", "<root@app.example.com>", "553 5.7.1 app may not send as <root@app.example.com>"},
		{"app", "<x@example.org>", "553 5.7.1"},
		{"app", "<>", "553 5.7.1"},
		{"any", "<x@example.org>", "250"},
		{"any", "<>", "250"},
	} {
		p := dialTalker(t, "tcp", h.addr)
		p.want("220")
		p.talk("EHLO me", "250", plainAuth(tc.user, "pw"), "235", "MAIL FROM:"+tc.from, tc.want)
	}
}

// Users follow a reload: the listener itself stays open.
func TestUsersFollowAReload(t *testing.T) {
	h := newHouse(t, senders+holding)
	h.write(strings.NewReplacer(`"pw"`, `"new"`, `"*@app.example.com", "!root@*"`, `"*@other.example.com"`).Replace(senders) + holding)
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := dialTalker(t, "tcp", h.addr)
	p.want("220")
	p.talk("EHLO me", "250", plainAuth("app", "pw"), "535", plainAuth("nobody", "new"), "535", plainAuth("app", "new"), "235",
		"MAIL FROM:<x@app.example.com>", "553", "MAIL FROM:<x@other.example.com>", "250")
}

// A session that outlives its user's entry does not go on without its limits.
func TestRemovedUserMaySendNoMore(t *testing.T) {
	h := newHouse(t, senders+holding)
	p := dialTalker(t, "tcp", h.addr)
	p.want("220")
	p.talk("EHLO me", "250", plainAuth("app", "pw"), "235", "MAIL FROM:<x@app.example.com>", "250", "RSET", "250")
	h.write(strings.Replace(senders, `name = "app"`, `name = "other"`, 1) + holding)
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.talk("MAIL FROM:<x@app.example.com>", "530 5.7.0 app no longer exists", "MAIL FROM:<x@example.org>", "530")
}

func TestUnixSocketAccess(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("sockets have no modes on Windows")
	}
	dir := shortDir(t)
	group := os.Getgid()
	open, shut := filepath.Join(dir, "new", "open.sock"), filepath.Join(dir, "shut.sock")
	h := newHouse(t, fmt.Sprintf(`[[listener]]
address = "unix:%s"
[[listener]]
address = "unix:%s"
socket_mode = "0660"
socket_group = "%d"
auth = "required"
[[listener.user]]
name = "app"
password = "pw"
`, open, shut, group)+holding)
	for path, mode := range map[string]os.FileMode{open: 0o666, shut: 0o660} {
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, st.Mode(), err)
		}
	}
	p := dialTalker(t, "unix", open)
	p.want("220")
	p.talk(begin...)
	p.talk("a: b\r\n.", "250")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	want := "uid:" + me.Username
	switch runtime.GOOS {
	case "linux", "darwin", "freebsd":
	default:
		want = ""
	}
	if c := h.heldMail()[0].Envelope.Client; c.User != want || c.Addr.IsValid() {
		t.Errorf("client %+v, want user %q", c, want)
	}
	// Who may open the socket is not who has logged in.
	p = dialTalker(t, "unix", shut)
	p.want("220")
	p.talk("EHLO me", "250", "MAIL FROM:<x@example.com>", "530 5.7.0", plainAuth("app", "pw"), "235", "MAIL FROM:<x@example.com>", "250")
}

// An account that the listener lists needs no password, and may be held to its senders.
func TestUnixSocketUsers(t *testing.T) {
	switch runtime.GOOS {
	case "linux", "darwin", "freebsd":
	default:
		t.Skip("the account behind a socket cannot be known here")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(shortDir(t), "s.sock")
	newHouse(t, fmt.Sprintf("[[listener]]\naddress = \"unix:%s\"\nauth = \"required\"\n[[listener.user]]\nname = \"uid:%s\"\nallow_from = [\"*@example.com\"]\n", path, me.Username)+holding)
	p := dialTalker(t, "unix", path)
	p.want("220")
	p.talk("EHLO me", "250", "MAIL FROM:<x@example.org>", "553 5.7.1 uid:", "MAIL FROM:<x@example.com>", "250", "RSET", "250",
		plainAuth("uid:"+me.Username, ""), "5")
}
