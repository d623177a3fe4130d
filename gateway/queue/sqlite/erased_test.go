package sqlite_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// TestErased: what the history is not to keep is in no file of the state directory, free pages included, when its mail has
// gone and the gateway has stopped.
func TestErased(t *testing.T) {
	const subject, to, from = "zebra-", "quagga-", "okapi-" // digests have no dash
	for privacy, gone := range map[queue.Privacy][]string{
		queue.HideNothing:   nil,
		queue.HideSubjects:  {subject},
		queue.HideAddresses: {subject, to, from},
	} {
		dir := t.TempDir()
		s := openStore(t, queue.Settings{Dir: dir})
		if err := s.SetPrivacy(privacy); err != nil {
			t.Fatal(err)
		}
		for i := range 300 { // rows of different sizes leave gaps in pages, and pages
			d, err := s.New(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(d, "Subject: %s\r\n\r\nhello\r\n", subject)
			rcpt := []envelope.Recipient{{Address: fmt.Sprintf("%s%d@example.org", to, i)}}
			sender := fmt.Sprintf("%s%d@example.com", from, i)
			if err = d.Commit(t.Context(), queue.Accepted{
				Envelope: envelope.Envelope{From: sender, To: rcpt, Received: time.Now()},
				Header:   queue.Summary{From: sender, Subject: strings.Repeat(subject+" ", i%40+1)},
				Parts:    []queue.Part{{To: rcpt, Lane: "main", State: envelope.Queued}},
			}); err != nil {
				t.Fatal(err)
			}
		}
		for n := 0; n < 300; {
			leases, err := s.Claim(t.Context(), "main", 64, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			n += len(leases)
			for _, l := range leases {
				sent := queue.Record{Recipient: l.Message().Parts[0].To[0], State: envelope.Sent, At: time.Now(), Upstream: "main", Attempts: 1}
				if err := l.Finish(t.Context(), queue.Result{Done: []queue.Record{sent}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		hour := time.Now().Add(-time.Hour)
		if _, err := s.Prune(t.Context(), queue.Keep{SentAfter: hour, FailedAfter: hour}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{subject, to, from} {
			n := occurrences(t, dir, word)
			if mayStay := !strings.Contains(strings.Join(gone, " "), word); n > 0 != mayStay {
				t.Errorf("privacy %s: %q is there %d times", privacy, word, n)
			}
		}
	}
}

// occurrences counts a word in the files of a directory.
func occurrences(t *testing.T, dir, word string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		n += bytes.Count(data, []byte(word))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
