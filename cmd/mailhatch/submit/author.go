package submit

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"mailhatch/mime"
	"mailhatch/mime/hostname"
)

// Author is who writes a message.
type Author struct {
	Name string // full name; may be empty
	Addr string // a bare name is completed by the gateway
}

// NewAuthor returns the author that the caller names: addr and fullName, where they are not empty, come
// before $EMAIL and $NAME, and these before the account that runs the program. Names are read as Text does.
func NewAuthor(addr, fullName string, getenv func(string) string) Author {
	login, gecos := account(getenv)
	a := Author{Name: Text(gecos, getenv), Addr: login}
	if list, err := mime.ParseAddressList(Text(getenv("EMAIL"), getenv)); err == nil && len(list) == 1 {
		a.Addr = list[0].Addr
		if list[0].Name != "" {
			a.Name = list[0].Name
		}
	}
	if addr != "" {
		a.Addr, a.Name = addr, ""
	}
	a.Name = cmp.Or(Text(fullName, getenv), Text(getenv("NAME"), getenv), a.Name)
	return a
}

// account returns login and full name of the account that runs the program; the first field of gecos
// may have & for the login (passwd(5)). In an account without a name, as containers have them,
// $LOGNAME or $USER is believed.
func account(getenv func(string) string) (login, gecos string) {
	uid := os.Getuid()
	if uid < 0 { // Windows
		if u, err := user.Current(); err == nil {
			return u.Username[strings.LastIndexByte(u.Username, '\\')+1:], u.Name
		}
	}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil && u.Username != "" {
		if u.Username != "" {
			gecos = strings.ReplaceAll(u.Name, "&", strings.ToUpper(u.Username[:1])+u.Username[1:])
		}
		return u.Username, gecos
	}
	for _, name := range []string{getenv("LOGNAME"), getenv("USER")} {
		if list, err := mime.ParseAddressList(name); err == nil && len(list) == 1 {
			return list[0].Addr, ""
		}
	}
	return "uid" + strconv.Itoa(uid), ""
}

// MessageID returns a new one. It is made here, not in the gateway: a message that is offered twice keeps it.
func MessageID(now time.Time) string {
	return fmt.Sprintf("<%s.%s@%s>", now.UTC().Format("20060102150405"), rand.Text(), Hostname())
}

// Hostname returns the name of this host as mail can have it.
func Hostname() string {
	host, err := os.Hostname()
	if err != nil || hostname.Check(host) != nil {
		return "localhost"
	}
	return host
}

// CheckAddress refuses an address that would end an SMTP command.
func CheckAddress(addr string) error {
	if strings.ContainsFunc(addr, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%q is not an address", addr)
	}
	return nil
}

// Unique removes repeated addresses; the first of them stays.
func Unique(list []string) []string {
	seen := map[string]bool{}
	out := list[:0]
	for _, s := range list {
		if key := mime.AddressKey(s); !seen[key] {
			seen[key] = true
			out = append(out, s)
		}
	}
	return out
}
