package engines

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest"
)

func TestEngines(t *testing.T) {
	for _, name := range Names() {
		s := queue.Settings{Dir: t.TempDir()}
		if _, err := Read(t.Context(), name, s); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: Read where there is no store: %v", name, err)
		}
		e, err := Open(t.Context(), name, s)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		queuetest.Start(t, e)()
		r, err := Read(t.Context(), name, s)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, openErr := Open(t.Context(), "paper", queue.Settings{})
	_, readErr := Read(t.Context(), "paper", queue.Settings{})
	for _, err := range []error{openErr, readErr} {
		if err == nil || !strings.Contains(err.Error(), `unknown engine "paper"; must be one of `+Default) {
			t.Errorf("an engine that does not exist: %v", err)
		}
	}
}
