package postmark

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// rules by ErrorCode: https://postmarkapp.com/developer/api/overview#error-codes. What is wrong with a request that
// we made is no fault of the mail: the next upstream gets it.
var rules = []api.Rule{
	{Name: "10", Class: upstream.Account},                                 // no token, or a wrong one
	{Name: "100", Class: upstream.Temporary},                              // maintenance
	{Name: "400", Class: upstream.Account, Sender: true},                  // sender signature not found
	{Name: "401", Class: upstream.Account, Sender: true},                  // and not confirmed
	{Name: "402", Class: upstream.Unrepresentable},                        // invalid JSON
	{Name: "403", Class: upstream.Unrepresentable},                        // invalid request fields
	{Name: "405", Class: upstream.Account},                                // not allowed to send: out of credits
	{Name: "406", Class: upstream.Permanent, Code: "5.7.1", Search: true}, // inactive recipient
	{Name: "409", Class: upstream.Account},                                // JSON required: something changes our requests
	{Name: "411", Class: upstream.Unrepresentable, Code: "5.6.1"},         // forbidden attachment type
	{Name: "412", Class: upstream.Account},                                // account is pending
	{Name: "413", Class: upstream.Account},                                // account may not send
	{Name: "429", Class: upstream.Throttled},
	{Name: "500", Class: upstream.Temporary}, // sender signature query exception
	{Name: "1221", Class: upstream.Account},  // message streams: of a type that does not send, not there, archived
	{Name: "1226", Class: upstream.Account},
	{Name: "1235", Class: upstream.Account},
	{Name: "1236", Class: upstream.Account},
	{Name: "300", Words: "'from'", Class: upstream.Permanent, Code: "5.1.7"},
	{Name: "300", Words: "'to'", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "300", Words: "'cc'", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "300", Words: "'bcc'", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "300", Class: upstream.Permanent},
	{Status: 422, Class: upstream.Temporary}, // a code that is not listed
}

// answer is what each call gets.
type answer struct {
	ErrorCode *int
	Message   string
	MessageID string
}

// read reads {"ErrorCode":…,"Message":…}; ok: it has the form of Postmark's answers.
func read(a *api.Answer) (got answer, ok bool) {
	ok = bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")) && json.Unmarshal(a.Body, &got) == nil && (got.ErrorCode != nil || got.MessageID != "")
	return got, ok
}

// problemOf reads an error.
func problemOf(a *api.Answer) api.Problem {
	got, ok := read(a)
	if !ok || got.ErrorCode == nil || *got.ErrorCode == 0 {
		return api.Problem{}
	}
	return api.Problem{Name: strconv.Itoa(*got.ErrorCode), Message: got.Message, Own: true}
}

// Interpret reads {"ErrorCode":0,"MessageID":…}, which can name recipients that will get nothing, or an error.
func (p *provider) Interpret(a *api.Answer, c *api.Call) api.Verdict {
	if a.Status >= 200 && a.Status < 300 {
		got, ok := read(a)
		if !ok || got.MessageID == "" || got.ErrorCode != nil && *got.ErrorCode != 0 {
			return api.Verdict{Err: api.NotTheirs(a, "Postmark")}
		}
		v := api.Verdict{ID: got.MessageID}
		if v.Faulty = named(got.Message, inactive, c); len(v.Faulty) > 0 {
			v.Err = api.Errorf(upstream.Permanent, "5.7.1", "%s", a.Words(api.Problem{Message: got.Message, Own: true}))
			v.Err.Status = a.Status
		}
		if len(v.Faulty) == len(c.Keys) {
			v.ID = "" // for nobody
		}
		return v
	}
	w := problemOf(a)
	e, rule := api.Classify(a, w, rules)
	v := api.Verdict{Err: e}
	if rule.Search {
		form := inactive
		if w.Name == "300" {
			form = invalid
		}
		v.Faulty = named(w.Message, form, c)
		v.Search = len(v.Faulty) == 0
	}
	return v
}

// How messages name recipients: "Found inactive addresses: a@b.c, d@e.f. Inactive recipients are …", "Message OK, but
// will not deliver to these inactive addresses: a@b.c.", "Error parsing 'To': Illegal email domain 'b' in address 'a@b'.",
// "Invalid 'To' address: 'a@b'."
var (
	inactive = regexp.MustCompile(`(?is)inactive addresses:\s*(.+?)\.(?:\s|$)`)
	invalid  = regexp.MustCompile(`(?i)address:?\s*'([^']+)'`)
)

// named returns the recipients of the call that a message names.
func named(message string, form *regexp.Regexp, c *api.Call) []int {
	m := form.FindStringSubmatch(message)
	if m == nil {
		return nil
	}
	var list []int
	for addr := range strings.SplitSeq(m[1], ",") {
		if i := slices.Index(c.Keys, mime.AddressKey(strings.TrimSpace(addr))); i >= 0 && !slices.Contains(list, i) {
			list = append(list, i)
		}
	}
	return list
}
