package canary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"mailhatch/gateway/durable"
	"mailhatch/gateway/queue"
)

// Memory keeps what is known of canaries over restarts.
type Memory interface {
	Load(ctx context.Context) (map[string]State, error)
	// Save keeps the state of an upstream; the zero State: nothing is to be kept of it.
	Save(ctx context.Context, upstream string, s State) error
}

// File returns a memory in the state directory, for a gateway that has its queue for itself.
func File(dir string) Memory { return &file{path: filepath.Join(dir, "canary.json")} }

type file struct {
	path string
	all  map[string]State
}

// Load reads the file. One that cannot be understood is as none: canaries are sent anew.
func (f *file) Load(context.Context) (map[string]State, error) {
	f.all = map[string]State{}
	raw, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(raw, &f.all) != nil || f.all == nil { // nil: of "null"
		f.all = map[string]State{}
	}
	return maps.Clone(f.all), nil
}

// Save writes the file anew.
func (f *file) Save(_ context.Context, upstream string, s State) error {
	if s == (State{}) {
		delete(f.all, upstream)
	} else {
		f.all[upstream] = s
	}
	raw, err := json.MarshalIndent(f.all, "", "  ")
	if err == nil {
		err = durable.Replace(f.path, append(raw, '\n'))
	}
	if err != nil {
		return fmt.Errorf("when the next canary is due would not be known after a restart: %w", err)
	}
	return nil
}

// notePrefix begins the names of notes about canaries.
const notePrefix = "canary/"

// Notes returns a memory in the store that gateways share.
func Notes(store queue.Fleet) Memory { return notes{store} }

type notes struct{ store queue.Fleet }

// Load reads the notes of all upstreams.
func (n notes) Load(ctx context.Context) (map[string]State, error) {
	list, err := n.store.Notes(ctx, notePrefix)
	if err != nil {
		return nil, err
	}
	states := map[string]State{}
	for _, note := range list {
		var s State
		if json.Unmarshal(note.Value, &s) == nil {
			states[strings.TrimPrefix(note.Name, notePrefix)] = s
		}
	}
	return states, nil
}

// Save leaves a note for all gateways.
func (n notes) Save(ctx context.Context, upstream string, s State) error {
	if s == (State{}) {
		return n.store.Put(ctx, notePrefix+upstream, nil)
	}
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return n.store.Put(ctx, notePrefix+upstream, value)
}
