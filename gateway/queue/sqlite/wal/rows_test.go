package wal

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"strings"
	"testing"
)

// TestRecord: each serial type of SQLite's records, and records that are cut off.
func TestRecord(t *testing.T) {
	b := []byte{12, 0, 1, 2, 3, 4, 5, 6, 8, 9, 14, 17}
	b = append(b, 0xff)                               // -1
	b = append(b, 1, 0)                               // 256
	b = append(b, 1, 0, 0)                            // 65,536
	b = append(b, 0x80, 0, 0, 0)                      // the least of 32 bits
	b = append(b, 0, 0, 0, 0, 1, 1)                   // 257
	b = append(b, 0x7f, 255, 255, 255, 255, 255, 255) // and one more byte: the greatest of 64 bits
	b = append(b, 255)
	b = append(b, 'x')
	b = append(b, "ab"...)
	got, ok := record(b)
	want := []any{nil, int64(-1), int64(256), int64(65536), int64(math.MinInt32), int64(257), int64(math.MaxInt64), int64(0), int64(1),
		[]byte("x"), "ab"}
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v, want %v", got, ok, want)
	}
	for n := range b {
		if _, ok := record(b[:n]); ok {
			t.Errorf("the first %d bytes of %d are taken for a record", n, len(b))
		}
	}
	for _, bad := range [][]byte{{0}, {9, 1}, {2, 0x80}, {2, 6, 1}} {
		if got, ok := record(bad); ok {
			t.Errorf("% x: %v", bad, got)
		}
	}
	if values, ok := record([]byte{2, 7, 0, 0, 0, 0, 0, 0, 0, 0}); !ok || values[0] != nil {
		t.Errorf("a floating point number, which no table has: %v %v", values, ok)
	}
}

func TestVarint(t *testing.T) {
	if v, rest, ok := varint(append(bytes.Repeat([]byte{0xff}, 9), 7)); !ok || v != math.MaxUint64 || len(rest) != 1 {
		t.Errorf("%d, %d left, %v", v, len(rest), ok)
	}
	if _, _, ok := varint(bytes.Repeat([]byte{0x80}, 8)); ok {
		t.Error("a number without an end is taken")
	}
}

// TestCell: cells that are cut off or go on nowhere.
func TestCell(t *testing.T) {
	s := &salvage{pageSize: 512, frames: map[uint32][]int{}, mended: map[int][]byte{}}
	long := append([]byte{0x90, 0x00, 1}, make([]byte, 512)...) // 2,048 bytes that go on on page 0
	for _, c := range [][]byte{nil, {5}, {5, 1}, {0xff, 0xff, 0xff, 0xff, 1, 1}, long[:100], long} {
		if r, ok := s.cell(c); ok {
			t.Errorf("% .8x…: %v", c, r)
		}
	}
}

// TestOverflow: the rest of a row stands on pages of the log, the last of which is the one that counts.
func TestOverflow(t *testing.T) {
	const size = 512
	s := &salvage{pageSize: size, frames: map[uint32][]int{7: {1, 2, 9}}, mended: map[int][]byte{2: bytes.Repeat([]byte("b"), size)}, until: 5}
	copy(s.mended[2], []byte{0, 0, 0, 0})
	body := strings.Repeat("a", 39)
	payload, ok := s.payload(append(append([]byte(body), 0, 0, 0, 7), make([]byte, size)...), 39+size-4)
	if !ok || string(payload) != body+strings.Repeat("b", size-4) {
		t.Errorf("%v: %q", ok, payload)
	}
}

func TestSums(t *testing.T) {
	p := []byte{0, 0, 0, 1, 0, 0, 0, 2}
	if got := (sum{}).add(binary.BigEndian, p); got != (sum{1, 3}) {
		t.Errorf("big-endian: %v", got)
	}
	if _, err := ReadSalt(bytes.NewReader(make([]byte, 20))); err == nil {
		t.Error("a header that is cut off has a salt")
	}
}

func TestDamageWords(t *testing.T) {
	salt := Salt{5, 1}
	for want, c := range map[string]struct {
		log  Log
		mark Mark
	}{
		"":                       {Log{Salt: salt, Header: true, Bytes: 100, Accepted: 3}, Mark{Salt: salt, Frames: 3}},
		"missing or empty":       {Log{}, Mark{Salt: salt, Frames: 3}},
		"drop 2 commits":         {Log{Salt: salt, Header: true, Bytes: 100, Accepted: 1, Beyond: 2}, Mark{}},
		"has a damaged header":   {Log{Salt: salt, Bytes: 100}, Mark{Salt: salt, Frames: 3}},
		"after frame 2 of 3":     {Log{Salt: salt, Header: true, Bytes: 100, Accepted: 2}, Mark{Salt: salt, Frames: 3}},
		"not the log that was w": {Log{Salt: Salt{4, 9}, Header: true, Bytes: 100, Accepted: 2}, Mark{Salt: salt, Frames: 3}},
	} {
		if got := c.log.Damage(c.mark); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
