package brevo

import (
	"bytes"
	"encoding/json"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// rules: https://developers.brevo.com/docs/how-it-works (errors) and the codes of its client libraries
// (https://github.com/getbrevo/brevo-node, ErrorModel).
var rules = []api.Rule{
	// The key of this request was used before: see Interpret for a repeated one.
	{Status: 400, Name: duplicate, Class: upstream.Temporary},
	{Name: "duplicate_request", Class: upstream.Temporary},
	{Name: "not_enough_credits", Class: upstream.Account},
	{Name: "account_under_validation", Class: upstream.Account},
	{Name: "permission_denied", Class: upstream.Account},
	{Name: "reseller_permission_denied", Class: upstream.Account},
	{Name: "unauthorized", Class: upstream.Account},
	{Name: "not_acceptable", Class: upstream.Account},
	{Name: "method_not_allowed", Class: upstream.Account},
	{Name: "document_not_found", Class: upstream.Account},
	{Status: 400, Words: "sender", Own: true, Class: upstream.Account, Sender: true}, // not valid: neither it nor its domain is authenticated
	{Status: 400, Words: "valid in to", Own: true, Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Status: 400, Words: "valid in cc", Own: true, Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Status: 400, Words: "valid in bcc", Own: true, Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Status: 400, Words: "attachment", Own: true, Class: upstream.Unrepresentable, Code: "5.6.1"}, // a file of a type that it does not take
	{Status: 400, Words: "file format", Own: true, Class: upstream.Unrepresentable, Code: "5.6.1"},
	{Status: 400, Name: "missing_parameter", Class: upstream.Unrepresentable},
	{Status: 400, Name: "bad_request", Class: upstream.Unrepresentable}, // our JSON
}

const duplicate = "duplicate_parameter"

// Interpret reads {"messageId":…} or an error.
func (p *provider) Interpret(a *api.Answer, c *api.Call) api.Verdict {
	if a.Status >= 200 && a.Status < 300 {
		var ok struct {
			ID string `json:"messageId"`
		}
		if json.Unmarshal(a.Body, &ok) == nil && ok.ID != "" {
			return api.Verdict{ID: ok.ID}
		}
		return api.Verdict{Err: api.NotTheirs(a, "Brevo")}
	}
	w := problemOf(a)
	if c.Repeated && a.Status == 400 && w.Name == duplicate {
		return api.Verdict{} // the request whose answer was lost has been taken; its id is not told again
	}
	e, rule := api.Classify(a, w, rules)
	return api.Verdict{Err: e, Search: rule.Search}
}

// problemOf reads {"code":…,"message":…}.
func problemOf(a *api.Answer) api.Problem {
	var w struct{ Code, Message string }
	if !bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")) || json.Unmarshal(a.Body, &w) != nil || w.Code == "" {
		return api.Problem{}
	}
	return api.Problem{Name: api.Line(w.Code), Message: w.Message, Own: true}
}
