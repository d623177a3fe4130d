package admin

import (
	"fmt"
	"net/http"
	"strings"
)

// health returns a mux with what names nobody.
func (s *Server) health() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeHealth(w, reasons(s.cfg.Silent)) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { writeHealth(w, reasons(s.cfg.Ready)) })
	mux.Handle("GET /metrics", s.metrics)
	return mux
}

func reasons(of func() []string) []string {
	if of == nil {
		return nil
	}
	return of()
}

// writeHealth answers with ok, or with a line for each reason why not.
func writeHealth(w http.ResponseWriter, reasons []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if len(reasons) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintln(w, strings.Join(reasons, "\n"))
}
