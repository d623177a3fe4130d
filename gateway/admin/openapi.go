package admin

import (
	"embed"
	"net/http"
)

// openapi has the description of the API for programs and people. It is written by hand; tests hold routes, types and answers against it.
//
//go:embed openapi.yaml
var openapi embed.FS

// describe shows the description of the API.
func (s *Server) describe(w http.ResponseWriter, _ *http.Request) error {
	text, err := openapi.ReadFile("openapi.yaml")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/yaml") // RFC 9512
	_, _ = w.Write(text)                               // the client is gone
	return nil
}
