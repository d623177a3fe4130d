//go:build unix

package postgrestest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// find returns the folder with the programs of the newest PostgreSQL that is installed.
// Where it cannot run, it says why.
func find() (folder, missing string) {
	if _, err := account(); err != nil {
		return "", err.Error()
	}
	folders := filepath.SplitList(os.Getenv("PATH"))
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"} {
		found, _ := filepath.Glob(pattern) // the pattern is well formed
		slices.Sort(found)
		slices.Reverse(found)
		folders = append(found, folders...)
	}
	for _, folder := range folders {
		if exec.Command(filepath.Join(folder, "initdb"), "--version").Run() == nil && exec.Command(filepath.Join(folder, "postgres"), "--version").Run() == nil {
			return folder, ""
		}
	}
	return "", "needs a PostgreSQL server (apt-get install postgresql): none is installed"
}

// account returns who runs the server: not root, whom it refuses. nil: who runs the test.
func account() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
	}
	return nil, errors.New("needs an account postgres or nobody: a PostgreSQL server does not run as root")
}

// prepare makes a folder with an empty cluster.
func prepare(programs string) (folder string, err error) {
	return newFolder(func(data string) *exec.Cmd {
		return exec.Command(filepath.Join(programs, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	})
}

// clone makes a folder with the data of a running server, for a standby of it.
func (s *Server) clone() (folder string, err error) {
	return newFolder(func(data string) *exec.Cmd {
		return exec.Command(filepath.Join(s.programs, "pg_basebackup"), "-h", s.folder, "-U", "postgres", "-D", data, "-R", "-X", "stream", "-c", "fast", "--no-sync")
	})
}

// newFolder makes a folder of the server's account with what a command puts into its data. Its path is short: that of a
// socket may have 100 bytes.
func newFolder(fill func(data string) *exec.Cmd) (folder string, err error) {
	who, err := account()
	if err != nil {
		return "", err
	}
	if folder, err = os.MkdirTemp("/tmp", "postgrestest"); err != nil {
		return "", err
	}
	if who != nil {
		err = os.Chown(folder, int(who.Uid), int(who.Gid))
	}
	if err == nil {
		cmd := fill(filepath.Join(folder, "data"))
		cmd.Dir, cmd.SysProcAttr = folder, &syscall.SysProcAttr{Credential: who}
		var out []byte
		if out, err = cmd.CombinedOutput(); err != nil {
			err = fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, out)
		}
	}
	if err != nil {
		_ = os.RemoveAll(folder)
	}
	return folder, err
}

// limit sets how large files of a process of the server may become. Whose account runs it may do so.
func (s *Server) limit(pid, bytes string) error {
	who, err := account()
	if err != nil {
		return err
	}
	cmd := exec.Command("prlimit", "--pid", pid, "--fsize="+bytes+":")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	return cmd.Run()
}

// process is a running server.
type process struct {
	folder string
	shell  *exec.Cmd
	leash  io.WriteCloser // the server ends when it is closed
	done   chan struct{}
}

// guard runs the server and ends it when the test that started it is gone, however that ended; the folder goes then, too.
const guard = `"$@" >"$0/log" 2>&1 & server=$!
{ read -r signal || touch "$0/orphan"; kill "-${signal:-INT}" $server; } <&3 >/dev/null 2>&1 & guard=$!
exec 3<&-
wait $server
kill $guard 2>/dev/null
[ ! -e "$0/orphan" ] || rm -rf "$0"`

func start(programs, folder string, s Settings) (*process, error) {
	who, err := account()
	if err != nil {
		return nil, err
	}
	args := []string{"-c", guard, folder, filepath.Join(programs, "postgres"), "-D", filepath.Join(folder, "data"), "-k", folder}
	options := []string{"listen_addresses=", "max_connections=200", "shared_buffers=64MB", "wal_level=minimal", "max_wal_senders=0", "max_wal_size=2GB"}
	if !s.Sync {
		options = append(options, "fsync=off", "full_page_writes=off")
	}
	for _, option := range append(options, s.Options...) {
		args = append(args, "-c", option)
	}
	p := &process{folder: folder, shell: exec.Command("/bin/sh", args...), done: make(chan struct{})}
	p.shell.Dir, p.shell.SysProcAttr = folder, &syscall.SysProcAttr{Credential: who, Setpgid: true} // Ctrl-C is for the test
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.shell.ExtraFiles, p.leash = []*os.File{reader}, writer
	err = p.shell.Start()
	_ = reader.Close()
	if err != nil {
		_ = writer.Close()
		return nil, err
	}
	go func() {
		_ = p.shell.Wait() // the log says why
		close(p.done)
	}()
	return p, nil
}

// stop sends the server a signal, and waits for its end. One that is asked to end while it recovers may never do so.
func (p *process) stop(signal string) {
	_, _ = io.WriteString(p.leash, signal+"\n")
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = syscall.Kill(-p.shell.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
	_ = p.leash.Close()
}

// mayStartLater reports whether the server has ended only because processes of the one before it are still there.
func (p *process) mayStartLater() bool { return strings.Contains(p.log(), "still in use") }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) log() string {
	text, err := os.ReadFile(filepath.Join(p.folder, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}
