package upstream_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"mailhatch/upstream"
)

// TestSecretIsNotShown: whatever prints a secret, alone or within settings, prints ***.
func TestSecretIsNotShown(t *testing.T) {
	key := upstream.NewSecret("hunter2")
	settings := struct{ Key upstream.Secret }{key}
	shown := map[string]string{"String": key.String(), "GoString": key.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown[verb] = fmt.Sprintf(verb, key)
		shown[verb+" of settings"] = fmt.Sprintf(verb, settings)
	}
	text, err := key.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	shown["text"] = string(text)
	if text, err = json.Marshal(settings); err != nil {
		t.Fatal(err)
	}
	shown["JSON"] = string(text)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key)
	shown["log"] = log.String()
	log.Reset()
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key)
	shown["JSON log"] = log.String()
	for how, s := range shown {
		if strings.Contains(s, "hunter2") || strings.Contains(s, "68756e74") || !strings.Contains(s, "***") {
			t.Errorf("%s: %q", how, s)
		}
	}
	if key.Reveal() != "hunter2" {
		t.Error("the secret is lost")
	}
}
