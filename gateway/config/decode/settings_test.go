package decode

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/config/value"
	"mailhatch/upstream"
)

// TestSettings: each key that has a value is shown as a config spells it, with its line, and no secret is.
func TestSettings(t *testing.T) {
	t.Setenv("MAILHATCH_TEST_HOST", "gw.example.com")
	type inner struct {
		Wait  upstream.Duration   `toml:"wait"`
		Waits []upstream.Duration `toml:"waits"`
		Empty string              `toml:"empty"`
		On    bool                `toml:"on"`
	}
	type table struct {
		Host   string          `toml:"host"`
		URL    string          `toml:"url"`
		Key    upstream.Secret `toml:"key"`
		Other  upstream.Secret `toml:"other"`
		None   upstream.Secret `toml:"none"`
		Size   value.Size      `toml:"size"`
		Bytes  int64           `toml:"bytes,size"`
		Rate   value.Rate      `toml:"rate"`
		Mode   value.FileMode  `toml:"mode"`
		Net    []value.Network `toml:"net"`
		Share  map[string]int  `toml:"share"`
		Weight *float64        `toml:"weight"`
		Absent *int            `toml:"absent"`
		Addr   *netip.Addr     `toml:"addr"`
		Inner  inner           `toml:"inner"`
		Unset  inner           `toml:"unset"`
		Raw    map[string]any  `toml:"raw"`
		List   []inner         `toml:"list"`
	}
	text := `host = "env:MAILHATCH_TEST_HOST"
url = "https://user:pass@h.example/x"
key = "SECRET"
other = "env:MAILHATCH_TEST_HOST"
size = "40MB"
bytes = "1KiB"
rate = "2/s"
mode = "0640"
net = ["10.0.0.0/8"]
share = { b = 1, "a.c" = 2 }
weight = 0.5
[inner]
wait = "90m"
waits = ["30d", "1h", "5m", "2s"]
[[list]]
on = true
`
	d, root, err := Parse("x.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	v := table{Unset: inner{Wait: upstream.Duration{Duration: 36 * time.Hour}}}
	d.Table("", root, &v)
	if err := d.Err(); err != nil {
		t.Fatal(err)
	}
	want := []Setting{
		{"bytes", `"1KiB"`, 6, ""}, {"host", `"gw.example.com"`, 1, "env:MAILHATCH_TEST_HOST"}, {"key", "***", 3, ""}, {"mode", `"0640"`, 8, ""}, {"net", `["10.0.0.0/8"]`, 9, ""},
		{"other", "***", 4, "env:MAILHATCH_TEST_HOST"}, {"rate", `"2/s"`, 7, ""}, {"share", `{ "a.c" = 2, b = 1 }`, 10, ""}, {"size", `"40MB"`, 5, ""},
		{"url", `"https://user:xxxxx@h.example/x"`, 2, ""}, {"weight", "0.5", 11, ""},
		{"inner.wait", `"1h30m"`, 13, ""}, {"inner.waits", `["30d", "1h", "5m", "2s"]`, 14, ""}, {"list[0].on", "true", 16, ""}, {"unset.wait", `"36h"`, 0, ""},
	}
	if diff := cmp.Diff(want, d.Settings()); diff != "" {
		t.Error(diff)
	}
}
