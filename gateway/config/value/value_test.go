package value

import "testing"

func TestSizeAndRate(t *testing.T) {
	sizes := map[string]Size{"100B": 100, "0": 0, "0B": 0, "512KB": 512e3, "40MB": 40e6, "1GiB": 1 << 30, "8 KiB": 8192, "2 MiB": 2 << 20, "3GB": 3e9}
	for text, want := range sizes {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "40", "MB", "-1MB", "1.5MB", "1mb", "99999999999GB", "40MBB", "1 M B"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %d", text, s)
		}
	}
	for text, want := range map[string]float64{"2/s": 2, "90/m": 1.5, "3600/h": 1, "86400 / d": 1} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r.PerSecond() != want {
			t.Errorf("%s: %v, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "2", "0/s", "-1/s", "x/s", "2/w", "2/s/s"} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %v", text, r)
		}
	}
}

func TestNetworkAndFileMode(t *testing.T) {
	for text, want := range map[string]string{"10.0.0.7": "10.0.0.7/32", "10.1.2.3/8": "10.0.0.0/8", "2001:db8::/32": "2001:db8::/32", "::ffff:10.0.0.7": "10.0.0.7/32", "10.0.0.0/33": "", "any": ""} {
		var n Network
		if err := n.UnmarshalText([]byte(text)); (err != nil) != (want == "") || err == nil && n.String() != want {
			t.Errorf("%s: %v, %v", text, n, err)
		}
	}
	for text, want := range map[string]FileMode{"0660": 0o660, "600": 0o600, "0o600": 0, "1777": 0, "rw": 0} {
		var m FileMode
		if err := m.UnmarshalText([]byte(text)); (err != nil) != (want == 0) || m != want {
			t.Errorf("%s: %o, %v", text, m, err)
		}
	}
}

// TestString: sizes and rates are written so that they are read as what they are.
func TestString(t *testing.T) {
	for _, text := range []string{"40MB", "512MiB", "1GB", "2GiB", "7KB", "3KiB", "5B", "1001B", "0B"} {
		var n Size
		if err := n.UnmarshalText([]byte(text)); err != nil || n.String() != text {
			t.Errorf("%s is %s, %v", text, n, err)
		}
	}
	for _, text := range []string{"2/s", "100/m", "1000/h", "20000/d"} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r.String() != text {
			t.Errorf("%s is %s, %v", text, r, err)
		}
	}
}
