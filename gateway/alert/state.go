package alert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mailhatch/gateway/durable"
)

func stateFile(dir string) string { return filepath.Join(dir, "alerts.json") }

// state is what a restart does not forget.
type state struct {
	Since     time.Time          `json:"since,omitzero"` // the first start with an alert
	SentAt    time.Time          `json:"sent_at,omitzero"`
	Accepted  int                `json:"accepted,omitempty"`
	Counts    []count            `json:"counts,omitempty"`
	Receivers map[string]*memory `json:"receivers,omitempty"`
}

// load reads the file; one that cannot be read is as none.
func (w *Watcher) load() {
	raw, err := os.ReadFile(w.file)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var s state
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		w.cfg.Journal.InternalError("alert", fmt.Errorf("what was told is not known: %w", err))
		return
	}
	w.past.since, w.past.sentAt, w.past.accepted, w.past.counts = s.Since, s.SentAt, s.Accepted, s.Counts
	for id, m := range s.Receivers {
		if m != nil {
			w.memories[id] = m
		}
	}
}

// save writes the file anew. The file is there whole or as it was.
func (w *Watcher) save() {
	w.saving.Lock()
	defer w.saving.Unlock()
	raw, err := w.snapshot()
	if err == nil && bytes.Equal(raw, w.saved) {
		return
	}
	if err == nil {
		err = durable.Replace(w.file, append(raw, '\n'))
	}
	w.saved = raw
	if err != nil {
		w.saved = nil
		w.cfg.Journal.InternalError("alert", fmt.Errorf("what was told would be told again after a restart: %w", err))
	}
}

func (w *Watcher) snapshot() ([]byte, error) {
	w.past.mu.Lock()
	s := state{Since: w.past.since, SentAt: w.past.sentAt, Accepted: w.past.accepted, Counts: slices.Clone(w.past.counts)}
	w.past.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Receivers = w.memories
	return json.MarshalIndent(&s, "", "  ")
}
