package upstream

import (
	"encoding/json"
	"strings"

	"mailhatch/mime"
)

// mailgunControl are the headers of Mailgun's SMTP endpoint and the form fields that mean the same,
// https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/send-smtp
var mailgunControl = []struct {
	header, field string
	values        []string // allowed ones; nil: any
	many          bool
}{
	{header: "X-Mailgun-Tag", field: "o:tag", many: true},
	{header: "X-Mailgun-Dkim", field: "o:dkim", values: yesNo},
	{header: "X-Mailgun-Deliver-By", field: "o:deliverytime"},
	{header: "X-Mailgun-Delivery-Time-Optimize-Period", field: "o:deliverytime-optimize-period"},
	{header: "X-Mailgun-Time-Zone-Localize", field: "o:time-zone-localize"},
	{header: "X-Mailgun-Drop-Message", field: "o:testmode", values: []string{"yes"}},
	{header: "X-Mailgun-Track", field: "o:tracking", values: yesNoHTML},
	{header: "X-Mailgun-Track-Clicks", field: "o:tracking-clicks", values: yesNoHTML},
	{header: "X-Mailgun-Track-Opens", field: "o:tracking-opens", values: yesNo},
	{header: "X-Mailgun-Require-TLS", field: "o:require-tls", values: yesNo},
	{header: "X-Mailgun-Skip-Verification", field: "o:skip-verification", values: yesNo},
	{header: "X-Mailgun-Sending-Ip", field: "o:sending-ip"},
	{header: "X-Mailgun-Sending-Ip-Pool", field: "o:sending-ip-pool"},
	{header: "X-Mailgun-Suppress-Headers", field: "o:suppress-headers"},
}

var (
	yesNo     = []string{"yes", "no", "true", "false"}
	yesNoHTML = []string{"yes", "no", "true", "false", "htmlonly"}
)

// options are the form fields beside to and message, in a fixed order.
func (g *mailgun) options(m *Mail) ([]apiHeader, *Error) {
	out := []apiHeader{
		// Off, or Mailgun changes links and adds to the HTML.
		{"o:tracking", "no"}, {"o:tracking-clicks", "no"}, {"o:tracking-opens", "no"},
	}
	if g.test {
		out = append(out, apiHeader{"o:testmode", "yes"})
	}
	if g.control {
		var e *Error
		if out, e = mailgunTranslate(m.Message.Header, out); e != nil {
			return nil, e
		}
	}
	out = append(out, apiHeader{"v:mailhatch_id", m.ID})
	size := 0
	for _, o := range out {
		size += len(o.name) + len(o.value)
	}
	if size > mailgunOptionsBytes {
		return nil, apiError(Unrepresentable, "5.6.0", "the X-Mailgun options have %d bytes; Mailgun takes %d", size, mailgunOptionsBytes)
	}
	return out, nil
}

// mailgunTranslate adds what X-Mailgun-* headers ask for. What has no translation makes the mail
// unrepresentable: sent without it, it would not be what the program meant.
func mailgunTranslate(h mime.Header, out []apiHeader) ([]apiHeader, *Error) {
	for _, f := range h {
		if !fieldMatches(f.Name, []string{"X-Mailgun-*"}) {
			continue
		}
		value := apiLine(mime.Header{f}.Text(f.Name))
		if strings.EqualFold(f.Name, "X-Mailgun-Variables") {
			vars, e := mailgunVariables(value)
			if e != nil {
				return nil, e
			}
			out = append(out, vars...)
			continue
		}
		var e *Error
		if out, e = mailgunOption(out, f.Name, value); e != nil {
			return nil, e
		}
	}
	return out, nil
}

func mailgunOption(out []apiHeader, name, value string) ([]apiHeader, *Error) {
	for _, c := range mailgunControl {
		if !strings.EqualFold(name, c.header) {
			continue
		}
		if c.values != nil {
			if value = strings.ToLower(value); oneOf(name, value, c.values...) != nil {
				return nil, apiError(Unrepresentable, "5.6.0", "%s: %q is not among %s", name, value, strings.Join(c.values, ", "))
			}
		}
		for i := range out {
			if out[i].name == c.field && !c.many {
				out[i].value = value
				return out, nil
			}
		}
		return append(out, apiHeader{c.field, value}), nil
	}
	return nil, apiError(Unrepresentable, "5.6.0", "%s is not translated", name)
}

// mailgunVariables reads a JSON object; values that are no strings stay JSON.
func mailgunVariables(value string) ([]apiHeader, *Error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(value), &fields); err != nil {
		return nil, apiError(Unrepresentable, "5.6.0", "X-Mailgun-Variables is no JSON object: %v", err)
	}
	var out []apiHeader
	for _, k := range sortedKeys(fields) {
		s := string(fields[k])
		var text string
		if json.Unmarshal(fields[k], &text) == nil {
			s = text
		}
		if k != "mailhatch_id" {
			out = append(out, apiHeader{"v:" + k, s})
		}
	}
	return out, nil
}
