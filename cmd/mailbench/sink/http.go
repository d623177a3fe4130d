package sink

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"mailhatch/cmd/mailbench/message"
)

const MaxBody = 64 << 20 // largest request body, bytes

// handler is the sink's web side: three providers' send calls and its own /_sink/.
//
// Providers: https://resend.com/docs/api-reference/emails/send-email,
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send,
// https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages.
func (s *Sink) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /emails", s.provider(func(w http.ResponseWriter, id string) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":"`+id+`"}`)
	}))
	mux.HandleFunc("POST /v3/mail/send", s.provider(func(w http.ResponseWriter, id string) {
		w.Header().Set("X-Message-Id", id)
		w.WriteHeader(http.StatusAccepted)
	}))
	mux.HandleFunc("POST /v3/{domain}/messages.mime", s.provider(func(w http.ResponseWriter, id string) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":"<`+id+`@mailgun.example>","message":"Queued. Thank you."}`)
	}))
	mux.HandleFunc("GET /_sink/stats", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Stats()) // the reader has gone: nobody to tell
	})
	mux.HandleFunc("POST /_sink/reset", func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("PUT /_sink/faults", s.putFaults)
	return mux
}

// provider serves one provider's send call; ok answers an accepted message.
func (s *Sink) provider(ok func(http.ResponseWriter, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
		if err != nil {
			Refuse(w, http.StatusRequestEntityTooLarge, err.Error())
			return
		}
		if r.Header.Get("Authorization") == "" {
			Refuse(w, http.StatusUnauthorized, "no Authorization")
			return
		}
		id := message.FindID(body)
		answer := "sink-" + id
		if id == "" {
			answer = "sink-unidentified-" + strconv.Itoa(len(body))
		}
		v, answer := s.take(r.Context(), id, r.Header.Get("Idempotency-Key"), answer)
		switch v {
		case accept:
			ok(w, answer)
		case throttle:
			w.Header().Set("Retry-After", "1")
			Refuse(w, http.StatusTooManyRequests, "too many requests")
		case temporary:
			Refuse(w, http.StatusInternalServerError, "try again")
		case permanent:
			Refuse(w, http.StatusBadRequest, "refused")
		default:
			panic(http.ErrAbortHandler) // net/http's way to close without an answer
		}
	}
}

// Refuse answers with a JSON error.
func Refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"statusCode": status, "message": message})
}

// putFaults replaces the faults by those of the body; fields left out are 0.
func (s *Sink) putFaults(w http.ResponseWriter, r *http.Request) {
	var f Faults
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		Refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	s.SetFaults(f)
	w.WriteHeader(http.StatusNoContent)
}
