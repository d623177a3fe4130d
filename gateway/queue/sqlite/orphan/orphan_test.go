package orphan_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue/sqlite/orphan"
)

func trailer(body string) *orphan.Trailer {
	return &orphan.Trailer{ID: 7, Place: -1, Size: int64(len(body)), CRC: crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)), Info: []byte(`{"x":1}`)}
}

// TestTrailer: what was written is read, and nothing else is.
func TestTrailer(t *testing.T) {
	b := append([]byte("body"), trailer("body").Encode()...)
	got, start, ok := orphan.Read(bytes.NewReader(b), int64(len(b)))
	if !ok || start != 0 || got.ID != 7 || got.Size != 4 || string(got.Info) != `{"x":1}` {
		t.Fatalf("%+v at %d, %v", got, start, ok)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, _, ok := orphan.Read(bytes.NewReader(bad), int64(len(bad))); ok && i >= len("body") {
			t.Errorf("a wrong bit in byte %d is not noticed", i)
		}
	}
	foot := len(b) - (4 + 4 + 8 + 8 + 8 + 4 + len("mailhatch\r\n\x00"))
	for _, size := range []uint64{1 << 40, 1 << 63} { // more than there is, and less than nothing
		bad := bytes.Clone(b)
		binary.BigEndian.PutUint64(bad[foot+8:], size)
		if _, _, ok := orphan.Read(bytes.NewReader(bad), int64(len(bad))); ok {
			t.Errorf("a body of %d bytes is taken", size)
		}
	}
	if _, _, ok := orphan.Read(bytes.NewReader(b[:10]), 10); ok {
		t.Error("a trailer that is cut off is taken")
	}
}

// TestWalk finds the trailers among bytes that nobody finished, from the end on.
func TestWalk(t *testing.T) {
	var b []byte
	for _, body := range []string{"one", "three"} {
		b = append(append(b, body...), trailer(body).Encode()...)
		b = append(b, "cut off"...)
	}
	var sizes []int64
	each := func(t orphan.Trailer, _ int64) error { sizes = append(sizes, t.Size); return nil }
	if err := orphan.Walk(bytes.NewReader(b), int64(len(b)), each); err != nil || !slices.Equal(sizes, []int64{5, 3}) {
		t.Errorf("%v, %v", sizes, err)
	}
	if err := orphan.Walk(bytes.NewReader(b), int64(len(b))+10, each); err == nil {
		t.Error("a file that is shorter than it should be is walked to its end")
	}
	stop := errors.New("stop")
	if err := orphan.Walk(bytes.NewReader(b), int64(len(b)), func(orphan.Trailer, int64) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v, want the error of each", err)
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.eml")
	if _, _, _, err := orphan.Open(path, -1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, append([]byte("bodY"), trailer("body").Encode()...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok, whole, err := orphan.Open(path, -1); !ok || whole || err != nil {
		t.Errorf("a changed body: %v, %v, %v", ok, whole, err)
	}
	if _, ok, _, err := orphan.Open(path, 5); ok || err != nil {
		t.Errorf("a trailer of another place: %v, %v", ok, err)
	}
}

// TestDir: files are kept with their reports, and go together.
func TestDir(t *testing.T) {
	root := t.TempDir()
	d := orphan.Dir(filepath.Join(root, orphan.DirName))
	if names, err := d.List(); len(names) > 0 || err != nil {
		t.Errorf("no folder: %q, %v", names, err)
	}
	e := &envelope.Envelope{From: "a@x", EnvID: "e", To: []envelope.Recipient{{Address: "b@x", Notify: []string{"NEVER"}}}}
	r := trailer("body").Report("ID", e, "segment", false)
	if err := d.Put("ID.eml", r, []byte("bo"), []byte("dy")); err != nil {
		t.Fatal(err)
	}
	body, _ := os.ReadFile(d.Path("ID.eml"))
	report, _ := os.ReadFile(d.Path("ID.eml.txt"))
	if string(body) != "body" || !strings.Contains(string(report), "<b@x> NOTIFY=NEVER") || !strings.Contains(string(report), "does not match its checksum") {
		t.Errorf("%q\n%s", body, report)
	}
	if names, err := d.Prune(time.Now().Add(-time.Hour)); len(names) > 0 || err != nil {
		t.Errorf("young files are pruned: %q, %v", names, err)
	}
	if names, err := d.Prune(time.Now().Add(time.Hour)); !slices.Equal(names, []string{"ID.eml"}) || err != nil {
		t.Errorf("old files: %q, %v", names, err)
	}
	if err := d.Remove("ID.eml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing to remove: %v", err)
	}
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bad := orphan.Dir(file)
	if bad.Put("x", r) == nil || bad.Take(file, "x", r) == nil {
		t.Error("a file is taken for a folder")
	}
	if err := os.Mkdir(d.Path("y.txt"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.Put("y", r, []byte("x")); err == nil {
		t.Error("a report that cannot be written")
	}
	if left, _ := filepath.Glob(d.Path(".new-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
