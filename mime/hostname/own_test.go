package hostname

import "testing"

func TestOwn(t *testing.T) {
	const debian = "127.0.0.1\tlocalhost\n127.0.1.1\tvm.example.com\tvm\n::1 localhost ip6-localhost\n"
	for _, row := range []struct{ system, hosts, want string }{
		{"app1.example.com", debian, "app1.example.com"},
		{"vm", debian, "vm.example.com"},
		{"VM", debian, "vm.example.com"},
		{"other", debian, "other"},
		{"vm", "", "vm"},
		{"vm", "127.0.0.1 localhost vm\n", "vm"},
		{"vm", "127.0.0.1 localhost.localdomain localhost vm\n", "vm"},
		{"vm", "127.0.1.1 vm vm.example.com\n", "vm.example.com"},
		{"vm", "192.0.2.7 mail.example.com vm # vm.example.org\n", "mail.example.com"},
		{"vm", "192.0.2.7 mail.example.com vm.example.org vm\n", "vm.example.org"},
		{"vm", "# 127.0.1.1 vm.example.com vm\n", "vm"},
		{"vm", "127.0.1.1 vm.exa_mple.com vm\n", "vm"},
		{"vm", "127.0.1.1\n\nvm.example.com\n", "vm"},
		{"vm", "192.0.2.7 vmx.example.com\n", "vm"},
		{"localhost", debian, "localhost"},
		{"", debian, "localhost"},
		{"a_b", debian, "localhost"},
		{"(none)", debian, "localhost"},
	} {
		if got := Own(row.system, row.hosts); got != row.want {
			t.Errorf("%q with %q: %q, want %q", row.system, row.hosts, got, row.want)
		}
	}
}
