//go:build unix

package maildrop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"mailhatch/gateway/envelope"
)

const message = "Subject: hi\r\n\r\nhello\r\n"

func to(list ...string) []envelope.Recipient {
	var out []envelope.Recipient
	for _, a := range list {
		out = append(out, envelope.Recipient{Address: a})
	}
	return out
}

// rig is a box whose messages and complaints are written down.
type rig struct {
	t        *testing.T
	state    string
	box      *Box
	got      []string // bodies
	envs     []*envelope.Envelope
	uids     []uint32
	reported []string
	last     error      // the last complaint
	fail     error      // of take
	mu       sync.Mutex // of got, envs and uids
}

func newRig(t *testing.T) *rig {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	box, err := Open(state)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, state: state, box: box}
}

func (r *rig) dir() string { return filepath.Join(r.state, DirName) }

func (r *rig) write(env *envelope.Envelope, body string) {
	r.t.Helper()
	if err := Write(r.dir(), env, int64(len(body)), strings.NewReader(body)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) each() error {
	return r.box.Each(context.Background(), Limits{1000, 3}, func(d *Drop) error {
		if r.fail != nil {
			return r.fail
		}
		b, err := io.ReadAll(d.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got, r.envs, r.uids = append(r.got, string(b)), append(r.envs, d.Envelope), append(r.uids, d.UID)
		return err
	}, func(err error) { r.reported, r.last = append(r.reported, err.Error()), err })
}

func (r *rig) mustEach() {
	r.t.Helper()
	if err := r.each(); err != nil {
		r.t.Fatal(err)
	}
}

// files lists a directory of the box.
func (r *rig) files(name string) []string {
	r.t.Helper()
	list, err := os.ReadDir(filepath.Join(r.state, name))
	if err != nil {
		r.t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestWriteAndTake(t *testing.T) {
	r := newRig(t)
	env := &envelope.Envelope{From: "ann", To: []envelope.Recipient{{Address: "root", Notify: []string{"NEVER"}}, {Address: "b@example.org"}},
		Ret: "HDRS", EnvID: "x 1", Body: "8BITMIME", UTF8: true}
	r.write(env, message)
	r.write(&envelope.Envelope{To: to("c@example.org")}, "\n\r\nbare\nends\rhere")
	if err := os.Chtimes(filepath.Join(r.dir(), r.files(DirName)[0]), time.Now(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.mustEach()
	if len(r.got) != 2 || len(r.reported) != 0 {
		t.Fatalf("got %q, reported %q", r.got, r.reported)
	}
	first := 0
	if r.got[0] != message {
		first = 1
	}
	if r.got[first] != message || r.got[1-first] != "\r\n\r\nbare\r\nends\r\nhere" {
		t.Errorf("bodies %q", r.got)
	}
	if !reflect.DeepEqual(env, r.envs[first]) {
		t.Errorf("envelope %+v, want %+v", r.envs[first], env)
	}
	if int(r.uids[0]) != os.Geteuid() {
		t.Errorf("uid %d", r.uids[0])
	}
	for _, dir := range []string{DirName, takenName, refusedName} {
		if left := r.files(dir); len(left) != 0 {
			t.Errorf("%s has %q", dir, left)
		}
	}
}

func TestModes(t *testing.T) {
	r := newRig(t)
	info, err := os.Stat(r.dir())
	if err != nil {
		t.Fatal(err)
	}
	if m := info.Mode(); m&fs.ModeSticky == 0 || m.Perm() != 0o733 {
		t.Errorf("the maildrop has mode %v", m)
	}
	// What tmpfiles.d(5) has made is not touched: under RestrictSUIDSGID= a change would lose the setgid bit.
	if err := os.Chmod(r.dir(), 0o733|fs.ModeSticky|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	var before, after unix.Stat_t
	if err := errors.Join(unix.Stat(r.dir(), &before), makeDrop(r.state, r.dir()), unix.Stat(r.dir(), &after)); err != nil {
		t.Fatal(err)
	}
	if after.Ctim != before.Ctim {
		t.Error("a maildrop that is as it should be was changed")
	}
	if info, _ := os.Stat(r.state); info.Mode().Perm() != 0o711 {
		t.Errorf("the state directory has mode %v", info.Mode())
	}
	for _, c := range []struct {
		file, dir syscall.Stat_t
		want      fs.FileMode
	}{
		{syscall.Stat_t{Uid: 1, Gid: 1}, syscall.Stat_t{Uid: 1, Gid: 1}, 0o600},
		{syscall.Stat_t{Uid: 2, Gid: 1}, syscall.Stat_t{Uid: 1, Gid: 1}, 0o640},
		{syscall.Stat_t{Uid: 2, Gid: 2}, syscall.Stat_t{Uid: 1, Gid: 1}, 0o644},
		{syscall.Stat_t{Uid: 2, Gid: 2}, syscall.Stat_t{Uid: 0, Gid: 0}, 0o644},
	} {
		if got := fileMode(&c.file, &c.dir); got != c.want {
			t.Errorf("uid %d gid %d in the directory of uid %d gid %d: %v, want %v", c.file.Uid, c.file.Gid, c.dir.Uid, c.dir.Gid, got, c.want)
		}
	}
}

func TestWriteFails(t *testing.T) {
	r := newRig(t)
	env := &envelope.Envelope{To: to("a@example.org")}
	broken := errors.New("broken")
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		dir  string
		size int64
		body io.Reader
		want error
	}{
		{"no directory", filepath.Join(r.state, "none"), 1, strings.NewReader("x"), fs.ErrNotExist},
		{"a directory that can be listed", open, 1, strings.NewReader("x"), ErrUnsafe},
		{"no space", r.dir(), 1 << 60, strings.NewReader("x"), ErrFull},
		{"a body that breaks", r.dir(), 1, iotest.ErrReader(broken), broken},
		{"a body of unknown size that breaks", r.dir(), Unknown, io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)), broken},
	} {
		if err := Write(c.dir, env, c.size, c.body); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if err := Write(r.dir(), env, 2, strings.NewReader("x")); err == nil {
		t.Error("a body shorter than it should be was kept")
	}
	if err := Write(r.dir(), &envelope.Envelope{EnvID: strings.Repeat("x", maxHead)}, 1, strings.NewReader("x")); !errors.Is(err, ErrMalformed) {
		t.Errorf("an endless envelope: %v", err)
	}
	if left := r.files(DirName); len(left) != 0 {
		t.Errorf("failures left %q", left)
	}
	for _, err := range []error{syscall.ENOSPC, fmt.Errorf("write: %w", syscall.EDQUOT)} {
		if !isFull(err) {
			t.Errorf("%v does not count as full", err)
		}
	}
}

// TestUnknownSize: a message that comes as it is written is counted on its way.
func TestUnknownSize(t *testing.T) {
	r := newRig(t)
	env := &envelope.Envelope{From: "ann", To: to("a@example.org"), EnvID: "x"}
	want := []string{"", "x", strings.Repeat("0123456789abcde\r\n", 50)}
	for _, body := range want {
		if err := Write(r.dir(), env, Unknown, iotest.OneByteReader(strings.NewReader(body))); err != nil {
			t.Fatal(err)
		}
	}
	r.mustEach()
	slices.Sort(r.got)
	slices.Sort(want)
	if !slices.Equal(r.got, want) || len(r.reported) > 0 {
		t.Errorf("got %q, reported %q", r.got, r.reported)
	}
	if !reflect.DeepEqual(env, r.envs[0]) {
		t.Errorf("envelope %+v", r.envs[0])
	}
}

func TestUsable(t *testing.T) {
	r := newRig(t)
	if err := Usable(r.dir()); err != nil {
		t.Error(err)
	}
	if err := Usable(filepath.Join(r.state, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if err := os.Chmod(r.dir(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Usable(r.dir()); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a directory that can be listed: %v", err)
	}
}

// testName is a name such as Write gives.
func testName(prefix string, i int) string {
	return prefix + strings.Repeat("A", nameLength-1) + string(rune('A'+i))
}

func TestRefused(t *testing.T) {
	for i, c := range []struct{ name, file, want string }{
		{"empty", "", "first line"},
		{"another format", "mailhatch-maildrop 2\n{}\n", "first line"},
		{"no JSON", magic + "x\n", "cannot be parsed"},
		{"an unknown key", magic + `{"from":"a","user":"uid:root","size":0}` + "\n", "cannot be parsed"},
		{"no end of line", magic + `{"from":"a"`, "cut off"},
		{"an endless line", magic + strings.Repeat("x", maxHead+1), "is too large|too long"},
		{"cut off", magic + `{"to":[{"address":"a@b"}],"size":9}` + "\nabc", "should follow"},
		{"nobody", magic + `{"to":[],"size":0}` + "\n", "no recipients"},
		{"too large", magic + `{"to":[{"address":"a@b"}],"size":1001}` + "\n" + strings.Repeat("x", 1001), "max_message"},
		{"far too large", magic + strings.Repeat("x", maxHead+2000), "too large"},
	} {
		r := newRig(t)
		if err := os.WriteFile(filepath.Join(r.dir(), testName(mailPrefix, i)), []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		r.mustEach()
		if c.name != "too large" && !errors.Is(r.last, ErrMalformed) {
			t.Errorf("%s: reported %v", c.name, r.last)
		}
		ok := false
		for _, want := range strings.Split(c.want, "|") {
			ok = ok || len(r.reported) == 1 && strings.Contains(r.reported[0], want)
		}
		if !ok || len(r.got) != 0 {
			t.Errorf("%s: reported %q, want %q; got %q", c.name, r.reported, c.want, r.got)
		}
		if aside := r.files(refusedName); len(aside) != 1 || aside[0] != testName(mailPrefix, i) {
			t.Errorf("%s: moved aside %q", c.name, aside)
		}
	}
}

func TestLinksPipesAndDirectories(t *testing.T) {
	r := newRig(t)
	valid := magic + `{"to":[{"address":"a@b"}],"size":0}` + "\n"
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte(valid), 0o600); err != nil {
		t.Fatal(err)
	}
	path := func(i int) string { return filepath.Join(r.dir(), testName(mailPrefix, i)) }
	for _, err := range []error{
		os.Symlink(outside, path(1)), os.Link(outside, path(2)), syscall.Mkfifo(path(3), 0o600),
		os.Mkdir(path(4), 0o700), os.WriteFile(filepath.Join(r.dir(), "other"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r.mustEach()
	if len(r.got) != 0 || len(r.files(refusedName)) != 3 || len(r.reported) != 5 {
		t.Errorf("got %q, moved aside %q, reported %q", r.got, r.files(refusedName), r.reported)
	}
	if left := r.files(DirName); len(left) != 2 {
		t.Errorf("left %q", left)
	}
	r.mustEach()
	if len(r.reported) != 5 {
		t.Errorf("what is left alone is reported again: %q", r.reported[5:])
	}
}

func TestErrorsLeaveMail(t *testing.T) {
	r := newRig(t)
	for range maxFailures + 2 {
		r.write(&envelope.Envelope{To: to("a@example.org")}, message)
	}
	r.fail = errors.New("not now")
	if err := r.each(); !errors.Is(err, r.fail) || strings.Count(err.Error(), "not now") != maxFailures {
		t.Errorf("each: %v", err)
	}
	r.fail = &Refusal{errors.New("never")}
	if err := os.Remove(filepath.Join(r.state, refusedName)); err != nil {
		t.Fatal(err)
	}
	if err := r.each(); err == nil {
		t.Error("that mail could not be moved aside is no error")
	}
	r.fail = nil
	r.mustEach() // what a crash leaves in maildrop-taken is found like this too
	if len(r.got) != maxFailures+2 {
		t.Errorf("%d messages, want %d", len(r.got), maxFailures+2)
	}
}

func TestContextEnds(t *testing.T) {
	r := newRig(t)
	r.write(&envelope.Envelope{To: to("a@example.org")}, message)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.box.Each(ctx, Limits{1000, 3}, nil, nil); err != nil {
		t.Errorf("each: %v", err)
	}
	r.mustEach()
	if len(r.got) != 1 {
		t.Errorf("got %q", r.got)
	}
}

func TestOldPartsAreSwept(t *testing.T) {
	r := newRig(t)
	for i, age := range []time.Duration{0, partLife + time.Hour} {
		path := filepath.Join(r.dir(), testName(partPrefix, i))
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	r.mustEach()
	if left := r.files(DirName); len(left) != 1 || left[0] != testName(partPrefix, 0) {
		t.Errorf("left %q", left)
	}
}

func TestOpenFails(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no state directory: %v", err)
	}
	for _, name := range []string{DirName, takenName, refusedName} {
		state := t.TempDir()
		if err := os.WriteFile(filepath.Join(state, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(state); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s is a file: %v", name, err)
		}
	}
	r := newRig(t)
	if err := os.RemoveAll(r.dir()); err != nil {
		t.Fatal(err)
	}
	if err := r.each(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the maildrop is gone: %v", err)
	}
}

func TestDirectoriesGoWhileOpen(t *testing.T) {
	r := newRig(t)
	r.write(&envelope.Envelope{To: to("a@example.org")}, message)
	taken := filepath.Join(r.state, takenName)
	if err := os.Remove(taken); err != nil {
		t.Fatal(err)
	}
	if err := r.each(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("each: %v", err)
	}
	if err := makeDir(taken); err != nil {
		t.Fatal(err)
	}
	r.mustEach()
	if len(r.got) != 1 {
		t.Errorf("got %q", r.got)
	}
	if _, _, _, err := openDrop(taken + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is gone: %v", err)
	}
	if err := removeEither(r.dir()+"/none", filepath.Join(r.state)); err == nil {
		t.Error("a directory that is not empty was removed")
	}
}

func TestSyncFileSystem(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syncEntry(filepath.Join(t.TempDir(), "cannot be opened"), f); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syncFileSystem(f); err == nil {
		t.Error("a closed file was synced")
	}
	if _, err := create(f.Name(), nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that is there already: %v", err)
	}
}
