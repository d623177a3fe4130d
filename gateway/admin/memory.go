package admin

import (
	"net/http"
	"time"
)

// Kept is a mail in an upstream of type memory.
type Kept struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	From   string    `json:"from"`          // envelope sender
	To     []string  `json:"to"`            // envelope recipients, those in Bcc included
	Source string    `json:"source"`        // header and body
	Raw    []byte    `json:"raw,omitempty"` // the same in base64, where it is no UTF-8, of which JSON is made
	Cut    bool      `json:"cut,omitempty"` // Source is only the start
}

// memory shows what an upstream of type memory was given, oldest first.
func (s *Server) memory(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Memory != nil {
		if list, ok := s.cfg.Memory(r.PathValue("upstream")); ok {
			return writeJSON(w, http.StatusOK, map[string][]Kept{"messages": list})
		}
	}
	return &requestError{http.StatusNotFound, "no upstream of type memory has that name"}
}
