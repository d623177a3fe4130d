package sendgrid

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Limits of categories and arguments, https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
const (
	maxCategories = 10
	maxCategory   = 255
	maxArgs       = 9_500 // of 10,000; mailhatch uses the rest
)

// instructions is what an X-SMTPAPI header asks for and mail/send has a field for.
type instructions struct {
	categories []string
	args       api.Fields
	sendAt     int64 // Unix time; 0: now
}

const smtpAPI = "X-SMTPAPI"

// readSMTPAPI translates an X-SMTPAPI header,
// https://www.twilio.com/docs/sendgrid/for-developers/sending-email/building-an-x-smtpapi-header.
// What it cannot translate makes the mail unrepresentable: sent without it, it would not be what
// the program meant; so does a second one, because how it combines with the first is undefined.
func readSMTPAPI(values []string) (c instructions, e *upstream.Error) {
	value := strings.TrimSpace(strings.Join(values, ""))
	if value == "" {
		return c, nil
	}
	if len(values) > 1 {
		return c, api.Errorf(upstream.Unrepresentable, "5.6.0", "X-SMTPAPI stands %d times in the header", len(values))
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(value), &fields); err != nil {
		return c, api.Errorf(upstream.Unrepresentable, "5.6.0", "X-SMTPAPI is not a JSON object: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		var err error
		switch name {
		case "category":
			c.categories, err = categories(fields[name])
		case "unique_args":
			c.args, err = uniqueArgs(fields[name])
		case "send_at":
			err = json.Unmarshal(fields[name], &c.sendAt)
		default:
			return c, api.Errorf(upstream.Unrepresentable, "5.6.0", "X-SMTPAPI has %q, which is not translated; category, unique_args and send_at are", name)
		}
		if err != nil {
			return c, api.Errorf(upstream.Unrepresentable, "5.6.0", "X-SMTPAPI: %s: %v", name, err)
		}
	}
	return c, nil
}

func categories(raw json.RawMessage) ([]string, error) {
	var list []string
	var one string
	if json.Unmarshal(raw, &one) == nil {
		list = []string{one}
	} else if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("must be a string or a list of strings")
	}
	var out []string
	for _, s := range list {
		if len(s) > maxCategory {
			return nil, fmt.Errorf("a category has %d bytes; SendGrid takes %d", len(s), maxCategory)
		}
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if len(out) > maxCategories {
		return nil, fmt.Errorf("there are %d categories; SendGrid takes %d", len(out), maxCategories)
	}
	return out, nil
}

// uniqueArgs returns arguments as strings, which is all that mail/send takes.
func uniqueArgs(raw json.RawMessage) (api.Fields, error) {
	out, err := api.ReadObject(raw)
	if err != nil {
		return nil, errors.New("must be an object")
	}
	size := 0
	for _, f := range out {
		size += len(f.Name) + len(f.Value)
	}
	if size > maxArgs {
		return nil, fmt.Errorf("has %d bytes; SendGrid takes %d", size, maxArgs)
	}
	return out, nil
}
