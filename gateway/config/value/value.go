// Package value has the values of the config that are more than text: sizes, rates, networks, permissions of files.
package value

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"mailhatch/gateway/route"
)

// Size is a number of bytes in the config: a whole number with a unit. KB, MB and GB are powers of
// 1000, KiB, MiB and GiB powers of 1024.
type Size int64

// UnmarshalText reads "40MB", "512 KiB", "100B".
func (s *Size) UnmarshalText(text []byte) error {
	given := string(text)
	if given == "0" {
		*s = 0 // needs no unit
		return nil
	}
	digits := strings.TrimRight(given, "BKMGiT ")
	unit := strings.TrimSpace(given[len(digits):])
	scale, ok := map[string]int64{
		"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
	}[unit]
	n, err := strconv.ParseInt(digits, 10, 64)
	const largest = 1 << 50
	if !ok || err != nil || n < 0 || n > largest/scale {
		return fmt.Errorf(`must be a size with a unit, such as "512KB", "40MB" or "1GiB", not %q`, given)
	}
	*s = Size(n * scale)
	return nil
}

// String writes the size as a config spells it: "40MB".
func (s Size) String() string {
	for _, u := range []struct {
		name string
		size Size
	}{{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}} {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// Rate is a number of sends in a time: "2/s", "100/m", "1000/h", "20000/d".
type Rate struct {
	Count int
	Per   time.Duration
}

// PerSecond returns sends a second; 0 means no limit.
func (r Rate) PerSecond() float64 {
	if r.Per == 0 {
		return 0
	}
	return float64(r.Count) / r.Per.Seconds()
}

// String writes the rate as a config spells it: "2/s".
func (r Rate) String() string {
	per := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h", 24 * time.Hour: "d"}[r.Per]
	return strconv.Itoa(r.Count) + "/" + per
}

// UnmarshalText reads a rate.
func (r *Rate) UnmarshalText(text []byte) error {
	count, unit, _ := strings.Cut(string(text), "/")
	per, ok := map[string]time.Duration{
		"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
	}[strings.TrimSpace(unit)]
	n, err := strconv.Atoi(strings.TrimSpace(count))
	if !ok || err != nil || n < 1 || n > 1e9 {
		return fmt.Errorf(`must be a number of sends in a time, such as "2/s", "100/m" or "1000/h", not %q`, text)
	}
	*r = Rate{Count: n, Per: per}
	return nil
}

// Network is an IP network; a single address is a network of one.
type Network struct{ netip.Prefix }

// UnmarshalText reads "10.0.0.0/8" or "10.0.0.7".
func (n *Network) UnmarshalText(text []byte) error {
	prefix, err := route.ParseNetwork(string(text))
	if err != nil {
		return fmt.Errorf(`must be a network or an address, such as "10.0.0.0/8" or "2001:db8::7", not %q`, text)
	}
	n.Prefix = prefix
	return nil
}

// FileMode is the permissions of a file, written in octal.
type FileMode uint32

// UnmarshalText reads "0660".
func (m *FileMode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf(`must be permissions in octal, such as "0660", not %q`, text)
	}
	*m = FileMode(n)
	return nil
}
