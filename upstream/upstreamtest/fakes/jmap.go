package fakes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"mailhatch/upstream/upstreamtest"
)

// NewJMAP starts a fake of a JMAP server (RFC 8620, RFC 8621), whose session is at the well-known address.
func NewJMAP(token string, opts ...upstreamtest.Option) *upstreamtest.Server {
	return upstreamtest.NewServer("jmap", token, &jmap{blobs: map[string][]byte{}}, opts)
}

// jmap keeps what was uploaded and imported.
type jmap struct {
	mu     sync.Mutex
	blobs  map[string][]byte
	emails []string // blob ids; email eN is the one at N
}

const (
	jmapAccount = "u1"
	jmapWell    = "/.well-known/jmap"
	jmapSession = "/jmap/session"
	jmapAPI     = "/jmap/api/"
	jmapUpload  = "/jmap/upload/"
)

var jmapUsing = []string{"urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail", "urn:ietf:params:jmap:submission"}

// jmapProblem is a request-level error (RFC 8620 3.6.1).
func jmapProblem(status int, kind, detail string) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: status, Header: http.Header{"Content-Type": {"application/problem+json"}},
		Body: upstreamtest.JSON(map[string]any{"type": kind, "status": status, "detail": detail})}
}

func (*jmap) Limit() int64 { return 80 << 20 }

func (*jmap) TooLarge() *upstreamtest.Answer {
	return jmapProblem(400, "urn:ietf:params:jmap:error:limit", "maxSizeRequest")
}

// Sends looks into the first bytes of a request for a submission: it has the address of all method calls.
func (*jmap) Sends(r *http.Request) bool {
	if r.URL.Path != jmapAPI || r.Method != http.MethodPost {
		return false
	}
	first := make([]byte, 180) // the first method call is in them
	n, _ := io.ReadFull(r.Body, first)
	rest := r.Body
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(first[:n]), rest), rest}
	return bytes.Contains(first[:n], []byte(`[["Email/import"`)) || bytes.Contains(first[:n], []byte(`[["EmailSubmission/set"`))
}

func (*jmap) Authorized(r *http.Request, token string) bool {
	return r.Header.Get("Authorization") == "Bearer "+token
}

func (*jmap) Unauthorized(*http.Request) *upstreamtest.Answer {
	return jmapProblem(401, "about:blank", "The token is not valid")
}

// Other has the session, takes uploads and names identities and mailboxes.
func (j *jmap) Other(r *http.Request, acct *upstreamtest.Account) *upstreamtest.Answer {
	switch {
	case r.URL.Path == jmapWell:
		return &upstreamtest.Answer{Status: 307, Header: http.Header{"Location": {jmapSession}}}
	case r.URL.Path == jmapSession && r.Method == http.MethodGet:
		return &upstreamtest.Answer{Status: 200, Body: jmapSessionOf(acct)}
	case r.URL.Path == jmapUpload+jmapAccount+"/" && r.Method == http.MethodPost:
		return j.upload(r)
	case r.URL.Path == jmapAPI:
		return j.ask(r, acct)
	}
	return nil
}

// jmapSessionOf is the session of an account, which may not send where it has other scopes only.
func jmapSessionOf(acct *upstreamtest.Account) string {
	type object = map[string]any
	capabilities, primary := object{}, object{}
	for _, c := range jmapUsing {
		if c != jmapUsing[2] || len(acct.Scopes) == 0 {
			capabilities[c], primary[c] = object{}, jmapAccount
		}
	}
	core := object{"maxSizeUpload": 50 << 20, "maxSizeRequest": 10 << 20}
	return upstreamtest.JSON(object{
		"capabilities": object{jmapUsing[0]: core, jmapUsing[1]: object{}, jmapUsing[2]: object{}}, "username": "app@example.com", "state": "1",
		"accounts":        object{jmapAccount: object{"name": "app@example.com", "isPersonal": true, "isReadOnly": false, "accountCapabilities": capabilities}},
		"primaryAccounts": primary, "apiUrl": jmapAPI, "uploadUrl": jmapUpload + "{accountId}/",
		"downloadUrl": "/d/{accountId}/{blobId}/{name}?accept={type}", "eventSourceUrl": "/e",
	})
}

func (j *jmap) upload(r *http.Request) *upstreamtest.Answer {
	raw, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Content-Type") != "message/rfc822" {
		return jmapProblem(400, "about:blank", "The upload is no message")
	}
	if len(raw) > 50<<20 {
		return jmapProblem(400, "urn:ietf:params:jmap:error:limit", "maxSizeUpload")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	id := fmt.Sprintf("b%d", len(j.blobs))
	j.blobs[id] = raw
	return &upstreamtest.Answer{Status: 201, Body: upstreamtest.JSON(map[string]any{"accountId": jmapAccount, "blobId": id, "type": "message/rfc822", "size": len(raw)})}
}

// jmapRequest is a request with method calls.
type jmapRequest struct {
	Using       []string             `json:"using"`
	MethodCalls [][3]json.RawMessage `json:"methodCalls"`
}

// readJMAP holds a request to RFC 8620 3.3.
func readJMAP(r *http.Request, body []byte) (req jmapRequest, problem *upstreamtest.Answer) {
	switch err := upstreamtest.DecodeStrict(body, &req); {
	case r.Header.Get("Content-Type") != "application/json":
		return req, jmapProblem(400, "urn:ietf:params:jmap:error:notJSON", "The content type is not application/json")
	case err != nil:
		return req, jmapProblem(400, "urn:ietf:params:jmap:error:notRequest", err.Error())
	case strings.Join(req.Using, " ") != strings.Join(jmapUsing, " "):
		return req, jmapProblem(400, "urn:ietf:params:jmap:error:unknownCapability", "A capability is missing")
	}
	return req, nil
}

// jmapResponse is what method calls get: name, arguments, id, name, arguments, id…
func jmapResponse(list ...any) *upstreamtest.Answer {
	var responses [][]any
	for i := 0; i+2 < len(list); i += 3 {
		responses = append(responses, list[i:i+3])
	}
	return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(map[string]any{"methodResponses": responses, "sessionState": "1"})}
}

// ask answers calls that change nothing.
func (*jmap) ask(r *http.Request, acct *upstreamtest.Account) *upstreamtest.Answer {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return jmapProblem(400, "urn:ietf:params:jmap:error:notJSON", err.Error())
	}
	req, problem := readJMAP(r, body)
	if problem != nil {
		return problem
	}
	identities := []map[string]string{{"id": "i1", "email": "app@example.com"}}
	for i, d := range acct.Domains {
		identities = append(identities, map[string]string{"id": fmt.Sprintf("i%d", i+2), "email": "*@" + d.Name})
	}
	var answers []any
	for _, c := range req.MethodCalls {
		name, id := string(c[0]), c[2]
		var args struct {
			AccountID  string
			IDs        []string `json:"ids"`
			Properties []string
			Filter     *struct{ Role string }
			Limit      int
		}
		switch err := upstreamtest.DecodeStrict(c[1], &args); {
		case err != nil:
			answers = append(answers, "error", map[string]string{"type": "invalidArguments", "description": err.Error()}, id)
		case args.AccountID != jmapAccount:
			answers = append(answers, "error", map[string]string{"type": "accountNotFound"}, id)
		case name == `"Identity/get"`:
			answers = append(answers, "Identity/get", map[string]any{"accountId": jmapAccount, "state": "1", "list": identities, "notFound": []string{}}, id)
		case name == `"Mailbox/query"`:
			ids := []string{"inbox"}
			if args.Filter != nil {
				ids = []string{args.Filter.Role}
			}
			answers = append(answers, "Mailbox/query", map[string]any{"accountId": jmapAccount, "queryState": "1", "ids": ids, "position": 0}, id)
		default:
			answers = append(answers, "error", map[string]string{"type": "unknownMethod"}, id)
		}
	}
	return jmapResponse(answers...)
}
