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
	group      *group
	pool       string // of IP addresses; "": the account's
	tracking   tracking
	// What stands in the text for a name, and what these can hold.
	substitutions, sections api.Fields
}

// group is one of unsubscriptions.
type group struct {
	ID      int64   `json:"group_id"`
	Display []int64 `json:"groups_to_display,omitempty"`
}

// tracking is what SendGrid does to links and bodies: nothing, unless a mail asks for it.
type tracking struct {
	Click        click        `json:"click_tracking"`
	Open         open         `json:"open_tracking"`
	Subscription subscription `json:"subscription_tracking"`
	Analytics    analytics    `json:"ganalytics"`
}

type click struct {
	Enable bool `json:"enable"`
	Text   bool `json:"enable_text"`
}

type open struct {
	Enable bool   `json:"enable"`
	Tag    string `json:"substitution_tag,omitempty"`
}

type subscription struct {
	Enable bool   `json:"enable"`
	Text   string `json:"text,omitempty"`
	HTML   string `json:"html,omitempty"`
	Tag    string `json:"substitution_tag,omitempty"`
}

type analytics struct {
	Enable   bool   `json:"enable"`
	Source   string `json:"utm_source,omitempty"`
	Medium   string `json:"utm_medium,omitempty"`
	Term     string `json:"utm_term,omitempty"`
	Content  string `json:"utm_content,omitempty"`
	Campaign string `json:"utm_campaign,omitempty"`
}

const smtpAPI = "X-SMTPAPI"

// readSMTPAPI translates an X-SMTPAPI header,
// https://www.twilio.com/docs/sendgrid/for-developers/sending-email/building-an-x-smtpapi-header.
// What it cannot translate makes the mail unrepresentable: sent without it, it would not be what
// the program meant; so does a second one, because how it combines with the first is undefined. Substitutions are those of
// one recipient: in the header they go by the order of its own list.
func readSMTPAPI(values []string, recipients int) (c instructions, e *upstream.Error) {
	value := strings.TrimSpace(strings.Join(values, ""))
	if value == "" {
		return c, nil
	}
	if len(values) > 1 {
		return c, api.Errorf(upstream.Unrepresentable, "5.6.0", "X-SMTPAPI occurs %d times in the header", len(values))
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
			err = readAs(fields[name], &c.sendAt, "a number: a Unix time")
		case "asm_group_id":
			c.group = &group{}
			err = readAs(fields[name], &c.group.ID, "a number")
		case "asm_groups_to_display":
			if c.group == nil { // it comes behind asm_group_id
				err = errors.New("needs asm_group_id")
			} else {
				err = readAs(fields[name], &c.group.Display, "a list of numbers")
			}
		case "ip_pool":
			err = readAs(fields[name], &c.pool, "a string")
		case "filters":
			err = c.tracking.read(fields[name])
		case "section":
			c.sections, err = api.ReadObject(fields[name])
		case "sub":
			c.substitutions, err = substitutions(fields[name], recipients)
		default:
			return c, api.Errorf(upstream.Unrepresentable, "5.6.0", "X-SMTPAPI has %q, which is not translated; category, unique_args, send_at, "+
				"asm_group_id, asm_groups_to_display, ip_pool, filters, section and sub are", name)
		}
		if err != nil {
			return c, api.Errorf(upstream.Unrepresentable, "5.6.0", "X-SMTPAPI: %s: %v", name, err)
		}
	}
	return c, nil
}

// readAs decodes a value that must be such a thing.
func readAs(raw json.RawMessage, into any, thing string) error {
	err := json.Unmarshal(raw, into)
	if _, other := errors.AsType[*json.UnmarshalTypeError](err); other {
		return errors.New("must be " + thing)
	}
	return err
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

// substitutions reads {"name":["value"]}, one value each.
func substitutions(raw json.RawMessage, recipients int) (out api.Fields, err error) {
	var lists map[string][]string
	if err := json.Unmarshal(raw, &lists); err != nil {
		return nil, errors.New("must be an object of lists of strings")
	}
	if recipients > 1 {
		return nil, fmt.Errorf("is translated for mail to one recipient, not %d", recipients)
	}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		if len(lists[name]) != 1 {
			return nil, fmt.Errorf("%s has %d values for one recipient", name, len(lists[name]))
		}
		size += len(name) + len(lists[name][0])
		out = append(out, api.Field{Name: name, Value: lists[name][0]})
	}
	if size > maxArgs {
		return nil, fmt.Errorf("has %d bytes; SendGrid takes %d", size, maxArgs)
	}
	return out, nil
}

// flag is how filters write yes and no: 1, "1" or true.
type flag bool

// UnmarshalJSON reads it.
func (f *flag) UnmarshalJSON(raw []byte) error {
	switch s := strings.Trim(string(raw), `"`); s {
	case "1", "true":
		*f = true
	case "0", "false", "null", "":
		*f = false
	default:
		return fmt.Errorf("enable is %s, not 1 or 0", s)
	}
	return nil
}

// filter has the settings of those that are translated,
// https://www.twilio.com/docs/sendgrid/for-developers/sending-email/smtp-filters
type filter struct {
	Settings struct {
		Enable   flag   `json:"enable"`
		InText   flag   `json:"enable_text"`
		Replace  string `json:"replace"`
		Text     string `json:"text/plain"`
		HTML     string `json:"text/html"`
		Source   string `json:"utm_source"`
		Medium   string `json:"utm_medium"`
		Term     string `json:"utm_term"`
		Content  string `json:"utm_content"`
		Campaign string `json:"utm_campaign"`
	} `json:"settings"`
}

// read reads {"clicktrack":{"settings":{"enable":1}}}. A filter without a translation may be switched off.
func (t *tracking) read(raw json.RawMessage) error {
	var filters map[string]filter
	if err := readAs(raw, &filters, `an object such as {"clicktrack":{"settings":{"enable":1}}}`); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(filters)) {
		s := filters[name].Settings
		if !s.Enable {
			continue
		}
		switch name {
		case "clicktrack":
			t.Click = click{true, bool(s.InText)}
		case "opentrack":
			t.Open = open{true, s.Replace}
		case "subscriptiontrack":
			t.Subscription = subscription{true, s.Text, s.HTML, s.Replace}
		case "ganalytics":
			t.Analytics = analytics{true, s.Source, s.Medium, s.Term, s.Content, s.Campaign}
		default:
			return fmt.Errorf("%q is not translated; clicktrack, opentrack, subscriptiontrack and ganalytics are", name)
		}
	}
	return nil
}
