package carry

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
)

// copyVar is the environment variable by which a process of this test knows what to copy.
const copyVar = "MAILHATCH_TEST_COPY"

type places struct{ From, To place }

type place struct{ Engine, Dir, URL string }

func (p place) settings() queue.Settings {
	return queue.Settings{Dir: p.Dir, URL: p.URL, Gateway: "copy"}
}

// told is a store that says a word before and after each change.
type told struct{ queue.Engine }

func (s told) Import(ctx context.Context, m *queue.Imported) (bool, error) {
	fmt.Println("import")
	defer fmt.Println("imported")
	return s.Engine.Import(ctx, m)
}

func (s told) Suppress(ctx context.Context, list ...queue.Suppression) (int, error) {
	fmt.Println("suppress")
	return s.Engine.Suppress(ctx, list...)
}

func (s told) Apply(ctx context.Context, n queue.News) (queue.Applied, error) {
	fmt.Println("apply")
	defer fmt.Println("applied")
	return s.Engine.Apply(ctx, n)
}

// TestCopyProcess is no test: it is the process that TestKilled kills.
func TestCopyProcess(t *testing.T) {
	text := os.Getenv(copyVar)
	if text == "" {
		t.Skip("it is a part of TestKilled")
	}
	var p places
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	from, err := engines.Read(t.Context(), p.From.Engine, p.From.settings())
	if err != nil {
		t.Fatal(err)
	}
	to, err := engines.Open(t.Context(), p.To.Engine, p.To.settings())
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- to.Run(running) }()
	_, err = Copy(t.Context(), from, told{to}, nil)
	stop()
	if err := errors.Join(err, <-ended, to.Close(), from.Close()); err != nil {
		t.Fatal(err)
	}
}

// copyOnce copies in a process that is killed after so many words; it reports whether the process came to its end.
func copyOnce(t *testing.T, p places, words int) (whole bool) {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestCopyProcess$")
	cmd.Env = append(os.Environ(), copyVar+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	killed := false
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); words-- {
		if last = lines.Text(); words == 0 {
			killed = true
			_ = cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); err != nil && !killed {
		t.Fatalf("%v: %s", err, last)
	}
	return !killed
}

// TestKilled: a copy whose process is killed again and again, at any moment, and started again, loses and doubles nothing, there and
// back. $MAILHATCH_COPY_MESSAGES sets how many messages there are.
func TestKilled(t *testing.T) {
	n := 30
	if text := os.Getenv("MAILHATCH_COPY_MESSAGES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	old := &store{"sqlite", queue.Settings{Dir: t.TempDir()}}
	shared := &store{"postgres", queue.Settings{Dir: t.TempDir(), URL: server.New(t), Gateway: "a"}}
	back := &store{"sqlite", queue.Settings{Dir: filepath.Join(t.TempDir(), "back")}}
	old.fill(t, n)
	want := story(t, old.read(t))
	for _, way := range []struct{ from, to *store }{{old, shared}, {shared, back}} {
		at := func(s *store) place { return place{s.engine, s.Dir, s.URL} }
		kills := 0
		for ; !copyOnce(t, places{at(way.from), at(way.to)}, rand.IntN(2*n)+n/2*min(kills/3, 8)); kills++ {
		}
		got := story(t, way.to.read(t))
		for i := range got { // an engine that was killed may say so of what is due
			got[i] = strings.Replace(got[i], "interrupted=true", "interrupted=false", 1)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("to %s, killed %d times: there are %d lines, want %d", way.to.engine, kills, len(got), len(want))
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Fatalf("such as\n%.300s\nwant\n%.300s", got[i], want[i])
				}
			}
		}
		t.Logf("to %s: %d messages, killed %d times", way.to.engine, n, kills)
	}
}
