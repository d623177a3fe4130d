//go:build unix

package postgres

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// bouncer starts a pgbouncer in transaction mode with two connections to the server, and returns the URL by way of it.
func bouncer(t *testing.T, rawURL string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Skip("needs pgbouncer (apt-get install pgbouncer)")
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	dir, err := os.MkdirTemp("/tmp", "bouncer") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	users := write("users", `"postgres" ""`)
	ini := write("ini", fmt.Sprintf("[databases]\n* = host=%s\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = %s\nlisten_port = 5432\nauth_type = trust\n"+
		"auth_file = %s\npool_mode = transaction\ndefault_pool_size = 2\n", q.Get("host"), dir, users))
	args := []string{program, ini}
	if os.Geteuid() == 0 { // it does not run as root
		for _, path := range []string{dir, ini, users} {
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		owner := "nobody" // of the server's socket
		if info, err := os.Stat(q.Get("host")); err == nil {
			if u, err := user.LookupId(fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid)); err == nil {
				owner = u.Username
			}
		}
		args = []string{program, "-u", owner, ini}
	}
	cmd := exec.Command(args[0], args[1:]...)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it says that it was killed
	})
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	await(t, "pgbouncer", func() bool { // its socket is there before it listens
		conn, err := net.Dial("unix", filepath.Join(dir, ".s.PGSQL.5432"))
		return err == nil && conn.Close() == nil
	})
	return u.String()
}

// TestBouncer: all that a gateway does goes by way of a pgbouncer whose connections change with each transaction.
func TestBouncer(t *testing.T) {
	direct := server.New(t)
	s := open(t, queue.Settings{URL: bouncer(t, direct), Lease: 200 * time.Millisecond})
	ctx := t.Context()
	const each = 30
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range each {
				if _, err := commit(s, "x", mail("a@example.org", "b@example.org")); err != nil {
					t.Errorf("Commit: %v", err)
				}
			}
		})
	}
	ended := 0
	await(t, "all mail to be delivered", func() bool {
		for _, l := range claim(t, s, 50, time.Minute) {
			work.Go(func() {
				if err := l.Finish(ctx, sent(l)); err != nil {
					t.Errorf("Finish: %v", err)
				}
			})
			ended++
		}
		return ended >= 8*each || t.Failed()
	})
	work.Wait()
	id := accept(t, s, "y")
	h, holdErr := s.Hold(ctx, queue.Filter{}, "root")
	r, releaseErr := s.Release(ctx, queue.Filter{}, "root")
	if holdErr != nil || releaseErr != nil || h.Messages != 1 || r.Messages != 1 {
		t.Errorf("Hold: %+v, %v; Release: %+v, %v", h, holdErr, r, releaseErr)
	}
	at := time.Now()
	if _, err := s.Take(ctx, queue.Offer{Upstream: lane, ID: id, To: []string{"bob@example.org"}, At: at,
		Windows: []queue.Window{{From: at.Add(-time.Hour), Until: at.Add(time.Hour), Count: 9}}}); err != nil {
		t.Errorf("Take: %v", err)
	}
	if done, err := s.Apply(ctx, queue.News{Upstream: lane, Told: []queue.Told{{ProviderID: "p-1", Recipient: "a@example.org", Kind: queue.EventDelivered, At: at}}}); err != nil || len(done.Joined) != 1 {
		t.Errorf("Apply: %+v, %v", done, err)
	}
	if list, err := s.Search(ctx, queue.HistoryFilter{State: envelope.Sent, Limit: 5}); err != nil || len(list) != 5 {
		t.Errorf("Search: %d, %v", len(list), err)
	}
	if err := s.Pause(ctx, "other", "root"); err != nil {
		t.Errorf("Pause: %v", err)
	}
	if n := server.Row(t, direct, "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"); n != "0" || len(s.Fleet().Heard()) > 0 {
		t.Errorf("%s sessions listen, which others use too", n)
	}
	if err := s.Fleet().Beat(ctx, queue.Gateway{}); err != nil {
		t.Errorf("Beat: %v", err)
	}
	if _, err := s.Prune(ctx, queue.Keep{}); err != nil {
		t.Errorf("Prune: %v", err)
	}
}
