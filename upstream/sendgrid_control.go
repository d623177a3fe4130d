package upstream

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Limits of categories and arguments, https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
const (
	sendgridCategories     = 10
	sendgridCategoryLength = 255
	sendgridArgsBytes      = 9_500 // of 10,000, the rest being ours
)

// sendgridControl is what an X-SMTPAPI header asks for and mail/send has a field for.
type sendgridControl struct {
	categories []string
	args       jsonHeaders
	sendAt     int64 // Unix time; 0: now
}

// readSMTPAPI translates an X-SMTPAPI header,
// https://www.twilio.com/docs/sendgrid/for-developers/sending-email/building-an-x-smtpapi-header.
// What it cannot translate makes the mail unrepresentable: sent without it, it would not be what
// the program meant; so does a second one, of which nobody says how it goes with the first.
func readSMTPAPI(values []string) (c sendgridControl, e *Error) {
	value := strings.TrimSpace(strings.Join(values, ""))
	if value == "" {
		return c, nil
	}
	if len(values) > 1 {
		return c, apiError(Unrepresentable, "5.6.0", "X-SMTPAPI stands %d times in the header", len(values))
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(value), &fields); err != nil {
		return c, apiError(Unrepresentable, "5.6.0", "X-SMTPAPI is no JSON object: %v", err)
	}
	for _, name := range sortedKeys(fields) {
		var err error
		switch name {
		case "category":
			c.categories, err = smtpapiCategories(fields[name])
		case "unique_args":
			c.args, err = smtpapiArgs(fields[name])
		case "send_at":
			err = json.Unmarshal(fields[name], &c.sendAt)
		default:
			return c, apiError(Unrepresentable, "5.6.0", "X-SMTPAPI has %q, which is not translated; category, unique_args and send_at are", name)
		}
		if err != nil {
			return c, apiError(Unrepresentable, "5.6.0", "X-SMTPAPI: %s: %v", name, err)
		}
	}
	return c, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func smtpapiCategories(raw json.RawMessage) ([]string, error) {
	var list []string
	var one string
	if json.Unmarshal(raw, &one) == nil {
		list = []string{one}
	} else if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("must be a string or a list of strings")
	}
	var out []string
	for _, s := range list {
		if len(s) > sendgridCategoryLength {
			return nil, fmt.Errorf("a category has %d bytes; SendGrid takes %d", len(s), sendgridCategoryLength)
		}
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if len(out) > sendgridCategories {
		return nil, fmt.Errorf("there are %d categories; SendGrid takes %d", len(out), sendgridCategories)
	}
	return out, nil
}

// smtpapiArgs gives arguments as strings, which is all that mail/send takes.
func smtpapiArgs(raw json.RawMessage) (jsonHeaders, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("must be an object")
	}
	var out jsonHeaders
	size := 0
	for _, k := range sortedKeys(fields) {
		value := string(fields[k])
		var s string
		if json.Unmarshal(fields[k], &s) == nil {
			value = s
		}
		if k == "mailhatch_id" {
			continue
		}
		size += len(k) + len(value)
		out = append(out, apiHeader{k, value})
	}
	if size > sendgridArgsBytes {
		return nil, fmt.Errorf("has %d bytes; SendGrid takes %d", size, sendgridArgsBytes)
	}
	return out, nil
}
