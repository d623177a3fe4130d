//go:build unix

package maildrop

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mailhatch/gateway/envelope"
)

const nobody = 65534

// TestHelperProcess is not a test: TestOtherAccount runs it in another account.
func TestHelperProcess(t *testing.T) {
	dir := os.Getenv("MAILDROP_OF_ANOTHER")
	if dir == "" {
		t.Skip("only for TestOtherAccount")
	}
	env := &envelope.Envelope{From: "me", To: to("a@example.org")}
	if err := Write(dir, env, int64(len(message)), strings.NewReader(message)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadDir(dir); !errors.Is(err, os.ErrPermission) {
		t.Errorf("the maildrop can be listed: %v", err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), takenName, "x"), nil, 0o600); !errors.Is(err, os.ErrPermission) {
		t.Errorf("others can write to %s: %v", takenName, err)
	}
	if _, err := Open(filepath.Dir(dir)); err == nil {
		t.Error("another account can open the box")
	}
}

// TestOtherAccount leaves mail as one account and takes it as another, once with the directory's group and
// once without.
func TestOtherAccount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it runs a program in another account")
	}
	for name, mode := range map[string]os.FileMode{"3733": os.ModeSticky | os.ModeSetgid | 0o733, "1733": os.ModeSticky | 0o733} {
		want := os.FileMode(0o640)
		if mode&os.ModeSetgid == 0 {
			want = 0o644
		}
		t.Run(name, func(t *testing.T) {
			// The account must get through all directories above; those of t.TempDir are closed.
			top, err := os.MkdirTemp("", "maildrop")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(top) })
			if err := os.Chmod(top, 0o711); err != nil {
				t.Fatal(err)
			}
			r := &rig{t: t, state: filepath.Join(top, "state")}
			if err := os.Mkdir(r.state, 0o700); err != nil {
				t.Fatal(err)
			}
			if r.box, err = Open(r.state); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(r.dir(), mode); err != nil {
				t.Fatal(err)
			}
			r.runAs(nobody, top)
			names := r.files(DirName)
			if len(names) != 1 {
				t.Fatalf("files %q", names)
			}
			info, err := os.Stat(filepath.Join(r.dir(), names[0]))
			if err != nil || info.Mode().Perm() != want {
				t.Errorf("mode %v, %v; want %v", info.Mode(), err, want)
			}
			r.mustEach()
			if len(r.uids) != 1 || r.uids[0] != nobody || r.got[0] != message {
				t.Errorf("uids %d, got %q, reported %q", r.uids, r.got, r.reported)
			}
		})
	}
}

// runAs runs TestHelperProcess in another account, from a copy of this program that it can reach.
func (r *rig) runAs(uid uint32, top string) {
	r.t.Helper()
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		r.t.Fatal(err)
	}
	path := filepath.Join(top, "test")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(path, "-test.run", "^TestHelperProcess$", "-test.v")
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "MAILDROP_OF_ANOTHER="+r.dir(), "GOCOVERDIR="+top)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("as uid %d: %v\n%s", uid, err, out)
	}
}

// TestForeignDirectory refuses a maildrop from which the gateway could not remove mail.
func TestForeignDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it gives a directory away")
	}
	r := newRig(t)
	if err := os.Chown(r.dir(), nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := r.each(); !errors.Is(err, ErrUnsafe) {
		t.Errorf("each: %v", err)
	}
	if _, err := Open(r.state); !errors.Is(err, ErrUnsafe) {
		t.Errorf("open: %v", err)
	}
}
