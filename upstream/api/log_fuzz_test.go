package api_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/kinds"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/fakes"
	"mailhatch/upstream/upstreamtest/telling"
)

// answering answers each question to a log with the same body. A JMAP server is asked for its session and account first.
type answering struct {
	body string
	jmap http.Handler
}

// ServeHTTP answers one question.
func (a *answering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if a.jmap != nil && !bytes.Contains(asked, []byte("EmailSubmission/query")) {
		r.Body = io.NopCloser(bytes.NewReader(asked))
		a.jmap.ServeHTTP(w, r)
		return
	}
	_, _ = io.WriteString(w, a.body)
}

// FuzzLogs gives answers of a log to a kind that polls, without a network. The messages in a queue of SQS are those of webhooks, which are fuzzed with the kinds.
func FuzzLogs(f *testing.F) {
	var ups []upstream.Feedback
	var logs []*answering
	for _, k := range kinds.Kinds() {
		if !k.Traits.Tells.Poll || k.Name == "ses" {
			continue
		}
		settings, err := os.ReadFile(filepath.Join("..", k.Name, "testdata", "settings.toml"))
		if err != nil {
			f.Fatal(err)
		}
		up, err := upstreamtest.Open(k, string(settings))
		if err != nil {
			f.Fatal(err)
		}
		log := &answering{}
		if k.Name == "jmap" {
			fake := fakes.NewJMAP("key")
			f.Cleanup(fake.Close)
			log.jmap = fake
		}
		api.WithTransport(up, direct{log})
		files, err := filepath.Glob(filepath.Join("..", k.Name, "testdata", "events", "log*.json"))
		if err != nil || len(files) == 0 {
			f.Fatal("no events of ", k.Name, err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint(len(ups)), string(raw))
		}
		ups, logs = append(ups, up.(upstream.Feedback)), append(logs, log)
	}
	f.Fuzz(func(t *testing.T, kind uint, body string) {
		i := int(kind % uint(len(ups)))
		logs[i].body = body
		b, err := ups[i].Poll(t.Context(), upstream.Ask{})
		telling.Check(t, b, err)
	})
}
