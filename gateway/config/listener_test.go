package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"mailhatch/upstream"
)

func TestListenerAccess(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir)
	tls := fmt.Sprintf("tls = \"starttls\"\ncert_file = %q\nkey_file = %q\n", filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	auth := "auth = \"required\"\n[[listener.user]]\nname = \"ann\"\npassword = \"pw\"\n"
	tests := map[string]struct {
		listener string
		allowed  string
		refused  string
	}{
		"loopback":             {`address = "localhost:0"`, "::1", "10.1.1.1"},
		"explicit":             {"address = \":0\"\nallow = [\"10.0.0.0/8\", \"192.0.2.7\"]", "192.0.2.7", "127.0.0.1"},
		"auth on all":          {"address = \":0\"\n" + tls + auth, "198.51.100.1", ""},
		"auth on loopback":     {"address = \"[::1]:0\"\n" + auth, "127.0.0.1", "198.51.100.1"},
		"socket with auth":     {"address = \"fd:smtp\"\n" + tls + auth, "198.51.100.1", ""},
		"socket":               {`address = "fd:smtp"`, "127.0.0.1", "198.51.100.1"},
		"unix":                 {`address = "unix:/run/x.sock"`, "198.51.100.1", ""},
		"auth and wide allow":  {"address = \":0\"\nallow = \"0.0.0.0/0\"\n" + tls + auth, "198.51.100.1", "2001:db8::1"},
		"private v6":           {"address = \":0\"\nallow = \"fc00::/7\"\n", "fd00::1", "2001:db8::1"},
		"mapped network":       {"address = \":0\"\nallow = \"::ffff:10.0.0.0/104\"\n", "10.9.9.9", "11.0.0.1"},
		"mapped address":       {"address = \":0\"\nallow = \"10.0.0.0/8\"\n", "::ffff:10.0.0.1", "::ffff:11.0.0.1"},
		"address with a zone":  {"address = \":0\"\nallow = \"fe80::/10\"\n", "fe80::1%eth0", "fec0::1"},
		"several, one upstart": {"address = \":0\"\nallow = [\"10.0.0.0/8\"]\n[[listener]]\naddress = \":0\"\nallow = [\"10.0.0.0/8\"]", "10.0.0.1", "1.1.1.1"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cfg, err := loadText(t, "[upstream.main]\ntype = \"console\"\n[[route]]\nvia = \"main\"\n[[listener]]\n"+tc.listener)
			if err != nil {
				t.Fatal(err)
			}
			l := cfg.Listeners[0]
			if !l.Allows(netip.MustParseAddr(tc.allowed)) {
				t.Errorf("%s is refused", tc.allowed)
			}
			if tc.refused != "" && l.Allows(netip.MustParseAddr(tc.refused)) {
				t.Errorf("%s is allowed", tc.refused)
			}
		})
	}
}

func TestListenerNetwork(t *testing.T) {
	for given, want := range map[string][2]string{
		"127.0.0.1:25": {"tcp", "127.0.0.1:25"}, "unix:/a/b": {"unix", "/a/b"}, "fd:smtp": {"fd", "smtp"},
	} {
		l := Listener{Address: given}
		if network, address := l.Network(); network != want[0] || address != want[1] {
			t.Errorf("%s: %s %s", given, network, address)
		}
	}
}

func TestSockets(t *testing.T) {
	cfg, err := loadText(t, `upstream.main = { type = "console" }
listener = [
  { address = "[::]:2500", allow = "10.0.0.0/8" }, { address = "[::]:2501", allow = "10.0.0.0/8" }, { address = "127.0.0.1:2501" },
  { address = "[::]:8025", allow = "10.0.0.0/8" }, { address = "unix:/run/x.sock" },
]
route = [{ via = "main" }]`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range cfg.Listeners {
		for _, s := range cfg.Listeners[i].Sockets() {
			got = append(got, s.Network+" "+s.Address)
		}
	}
	// 2500 is alone; 8025 is that of [admin], on IPv4
	want := []string{"tcp [::]:2500", "tcp6 [::]:2501", "tcp4 127.0.0.1:2501", "tcp6 [::]:8025"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestUserVerify(t *testing.T) {
	b, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	hash := string(b)
	plain := User{Name: "a", Password: upstream.NewSecret("right")}
	if !plain.Verify("right") || plain.Verify("wrong") || plain.Verify("") {
		t.Error("plain password")
	}
	hashed := User{Name: "a", Password: upstream.NewSecret(hash)}
	if !hashed.Verify("right") || hashed.Verify("wrong") {
		t.Error("hashed password")
	}
	if hashed.Verify(hash) {
		t.Error("the hash itself must not be a password")
	}
}
