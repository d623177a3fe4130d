package figures

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/journal"
)

// open opens figures of a directory.
func open(t *testing.T, dir string, w *watch) *Figures {
	t.Helper()
	f, err := Open(dir, w.now)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestKept: after a restart the charts, the ages and the strips are as they were, and go on.
func TestKept(t *testing.T) {
	dir, w := t.TempDir(), newWatch()
	f := open(t, dir, w)
	begun := w.t
	for range 3 * 24 {
		f.Hear(journal.Event{Name: "accepted", Recipients: 3})
		f.Hear(journal.Event{Name: "sent", Upstream: "main", Recipients: 2, Age: time.Second, Took: 80 * time.Millisecond})
		f.Hear(journal.Event{Name: "failed", Upstream: "bulk", Recipients: 1, Class: "permanent", Error: "550 ann@example.org is unknown", ID: "Q1"})
		w.t = w.t.Add(time.Hour)
	}
	f.Hear(journal.Event{Name: "upstream_closed", Upstream: "bulk"})
	w.t = w.t.Add(30 * time.Minute)
	if err := f.Keep(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, w)
	view := func(f *Figures) map[string]any {
		half, most, ok := f.Ages(24 * time.Hour)
		latency, _, _ := f.Latency("main", 24*time.Hour)
		return map[string]any{"week": f.Series(7*24*time.Hour, time.Hour), "day": f.Series(24*time.Hour, 10*time.Minute), "hour": f.Series(time.Hour, time.Minute),
			"main": f.Upstream("main", time.Hour), "closed": f.Closed("bulk"), "ages": []any{half, most, ok, latency}, "since": f.Since(), "all": f.Between(begun, w.t)}
	}
	want := view(f)
	if all := want["all"].(Count); all.Accepted != 72 || all.Recipients != 216 {
		t.Fatalf("%+v", all)
	}
	if d := cmp.Diff(want, view(again)); d != "" {
		t.Error(d)
	}
	again.Hear(journal.Event{Name: "accepted", Recipients: 1})
	if n := again.Between(begun, w.t.Add(time.Hour)).Accepted; n != 73 {
		t.Errorf("it does not go on: %d", n)
	}
	w.t = w.t.Add(30 * 24 * time.Hour)
	if late := open(t, dir, w); late.Between(begun, w.t) != (Count{}) {
		t.Error("what is older than the charts is counted")
	}
	w.t = begun.Add(-time.Hour)
	if early := open(t, dir, w); early.Since().After(w.t) || len(early.Series(time.Hour, time.Minute)) != 60 {
		t.Error("figures of the future")
	}
}

// TestKeptSecrets: nothing that mail or a provider says is in the file.
func TestKeptSecrets(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, newWatch())
	f.Hear(journal.Event{Name: "failed", Upstream: "bulk", Recipients: 1, Class: "permanent", Error: "550 ann@example.org is unknown", ID: "Q1"})
	if err := f.Keep(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file(dir))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil || !bytes.Contains(text, []byte("bulk")) || bytes.Contains(text, []byte("ann@")) || bytes.Contains(text, []byte("Q1")) {
		t.Errorf("%v %s", err, text)
	}
}

func packed(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

// TestDamaged: a file that cannot be read is said so, and counting begins anew; what is odd within it is left out.
func TestDamaged(t *testing.T) {
	w := newWatch()
	whole := packed(`{"version":1}`)
	for name, tc := range map[string]struct{ text, want string }{
		"empty":   {"", "EOF"},
		"no gzip": {"{\"version\":1,\"since\":0}", "gzip"},
		"cut off": {whole[:len(whole)-4], "EOF"},
		"no JSON": {packed("x"), "invalid character"},
		"newer":   {packed(`{"version":2}`), "version 2"},
		"odd":     {packed(`{"version":1,"since":"2040-01-01T00:00:00Z","minutes":[{"n":-5},{"n":99999999999}],"tens":[{"n":-1,"ages":{"-1":1,"99":2}}],"upstreams":{"":{},"a":{"closed":[-1]}}}`), ""},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(file(dir), []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(dir, w.now)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "is not known")) {
			t.Errorf("%s: %v", name, err)
		}
		if !f.Since().Equal(w.t) || f.Between(w.t.Add(-time.Hour), w.t.Add(time.Hour)) != (Count{}) {
			t.Errorf("%s: it has %v", name, f.Since())
		}
		f.Hear(journal.Event{Name: "accepted", Recipients: 1})
		if err := f.Keep(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRun: the file is written now and then where something happened, and a failure is told once.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f, err := Open(dir, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		var told []error
		ended := make(chan error, 1)
		go func() { ended <- f.Run(t.Context(), func(err error) { told = append(told, err) }) }()
		happen := func() {
			f.Hear(journal.Event{Name: "accepted", Recipients: 1})
			time.Sleep(keepEvery)
			synctest.Wait()
		}
		time.Sleep(keepEvery)
		synctest.Wait()
		if _, err := os.Stat(file(dir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("nothing happened, and there is %v", err)
		}
		happen()
		if _, err := os.Stat(file(dir)); err != nil {
			t.Error(err)
		}
		f.dir = filepath.Join(dir, "nowhere")
		happen()
		happen()
		f.dir = dir
		happen()
		f.dir = filepath.Join(dir, "nowhere")
		happen()
		if len(told) != 2 {
			t.Errorf("told %v", told)
		}
	})
}
