package openapi

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestServe(t *testing.T) {
	w := httptest.NewRecorder()
	if err := Serve(w, httptest.NewRequest("GET", "/", nil)); err != nil || w.Body.String() != Text() || !strings.HasPrefix(Text(), "openapi: 3.1") || w.Header().Get("Content-Type") != "application/yaml" {
		t.Error(err, w.Header(), w.Body)
	}
}
