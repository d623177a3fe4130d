// Package openapi has the description of the admin API for programs and people: openapi.yaml, in OpenAPI 3.1. It is
// written by hand; the tests of room admin hold routes, types and answers against it.
package openapi

import (
	_ "embed"
	"io"
	"net/http"
)

//go:embed openapi.yaml
var text string

// Text returns the description, in YAML.
func Text() string { return text }

// Serve answers with the description.
func Serve(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml") // RFC 9512
	_, err := io.WriteString(w, text)
	return err
}
