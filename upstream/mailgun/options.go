package mailgun

import (
	"slices"
	"strings"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// controls are the headers of Mailgun's SMTP endpoint and the form fields that mean the same,
// https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/send-smtp
var controls = []struct {
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
func (g *provider) options(m *upstream.Mail) ([]api.Field, *upstream.Error) {
	out := []api.Field{
		// Off, or Mailgun changes links and adds to the HTML.
		{Name: "o:tracking", Value: "no"}, {Name: "o:tracking-clicks", Value: "no"}, {Name: "o:tracking-opens", Value: "no"},
	}
	if g.test {
		out = append(out, api.Field{Name: "o:testmode", Value: "yes"})
	}
	var e *upstream.Error
	if out, e = g.translate(m, out); e != nil {
		return nil, e
	}
	out = append(out, api.Field{Name: "v:" + api.IDName, Value: m.ID})
	size := 0
	for _, o := range out {
		size += len(o.Name) + len(o.Value)
	}
	if size > maxOptions {
		return nil, api.Errorf(upstream.Unrepresentable, "5.6.0", "the X-Mailgun options have %d bytes; Mailgun takes %d", size, maxOptions)
	}
	return out, nil
}

const optionFields = "X-Mailgun-*"

// translate adds what X-Mailgun-* headers ask for. What has no translation makes the mail
// unrepresentable: sent without it, it would not be what the program meant.
func (g *provider) translate(m *upstream.Mail, out []api.Field) ([]api.Field, *upstream.Error) {
	for _, f := range m.Message.Header {
		if !upstream.MatchesField(f.Name, []string{optionFields}) || !g.control && !m.IsOwn(f.Name) {
			continue
		}
		value := api.Line(mime.Header{f}.Text(f.Name))
		if strings.EqualFold(f.Name, "X-Mailgun-Variables") {
			vars, err := api.ReadObject([]byte(value))
			if err != nil {
				return nil, api.Errorf(upstream.Unrepresentable, "5.6.0", "X-Mailgun-Variables is not a JSON object: %v", err)
			}
			for _, v := range vars {
				out = append(out, api.Field{Name: "v:" + v.Name, Value: v.Value})
			}
			continue
		}
		var e *upstream.Error
		if out, e = option(out, f.Name, value); e != nil {
			return nil, e
		}
	}
	return out, nil
}

func option(out []api.Field, name, value string) ([]api.Field, *upstream.Error) {
	for _, c := range controls {
		if !strings.EqualFold(name, c.header) {
			continue
		}
		if c.values != nil {
			if value = strings.ToLower(value); !slices.Contains(c.values, value) {
				return nil, api.Errorf(upstream.Unrepresentable, "5.6.0", "%s: %q is not among %s", name, value, strings.Join(c.values, ", "))
			}
		}
		for i := range out {
			if out[i].Name == c.field && !c.many {
				out[i].Value = value
				return out, nil
			}
		}
		return append(out, api.Field{Name: c.field, Value: value}), nil
	}
	return nil, api.Errorf(upstream.Unrepresentable, "5.6.0", "%s is not translated", name)
}
