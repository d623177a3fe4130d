package journal

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"testing"
)

// TestPriorities: each line begins with what the journal of systemd takes for its priority.
func TestPriorities(t *testing.T) {
	var out bytes.Buffer
	plain := func(w io.Writer) slog.Handler {
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})
	}
	log := slog.New(NewPriorities(&out, plain))
	log.Error("failed", "error", "two\nlines")
	log.Warn("deferred")
	log.With("id", "A1").WithGroup("g").Info("sent", "to", "ann")
	log.Debug("looked")
	log.Log(t.Context(), slog.LevelError+2, "worse")
	want := `<3>level=ERROR msg=failed error="two\nlines"
<4>level=WARN msg=deferred
<6>level=INFO msg=sent id=A1 g.to=ann
<7>level=DEBUG msg=looked
<3>level=ERROR+2 msg=worse
`
	if out.String() != want {
		t.Errorf("%s", &out)
	}
	coarse := slog.New(NewPriorities(&out, func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }))
	if coarse.Enabled(t.Context(), slog.LevelDebug) || !coarse.Enabled(t.Context(), slog.LevelInfo) {
		t.Error("the level of the handlers beneath does not count")
	}
	full := errors.New("full")
	if _, err := (&prefixed{failing{full}, "<3>"}).Write([]byte("x\n")); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
