package upstreamtest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// DecodeStrict reads one JSON object without fields that the API does not know and without names
// that occur twice.
func DecodeStrict(body []byte, into any) error {
	if !utf8.Valid(body) {
		return fmt.Errorf("the body is not UTF-8")
	}
	if err := noTwins(json.NewDecoder(bytes.NewReader(body))); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("there is more after the object")
	}
	return nil
}

// noTwins reads one value and refuses objects with the same name twice, whatever its case.
func noTwins(dec *json.Decoder) error {
	tok, err := dec.Token()
	if err != nil {
		return err
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for dec.More() {
		if delim == '{' {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			lower := strings.ToLower(fmt.Sprint(name))
			if seen[lower] {
				return fmt.Errorf("the field %v occurs twice", name)
			}
			seen[lower] = true
		}
		if err := noTwins(dec); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// StringList is a string or a list of strings.
type StringList []string

// UnmarshalJSON reads both forms.
func (l *StringList) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = StringList{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(l))
}

// StringMap is an object of strings; other values are refused.
type StringMap map[string]string

// UnmarshalJSON names the value that is no string.
func (m *StringMap) UnmarshalJSON(b []byte) error {
	var raw map[string]any
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*m = StringMap{}
	for k, v := range raw {
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("the value of %s is no string", k)
		}
		(*m)[k] = s
	}
	return nil
}

// HeaderNames checks names and values of a headers object.
func HeaderNames(headers StringMap, reserved []string) error {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value := headers[name]
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }) {
			return fmt.Errorf("%q is no header name", name)
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("the header %s holds control characters", name)
		}
		for _, r := range reserved {
			if strings.EqualFold(name, r) {
				return fmt.Errorf("the header %s is reserved", name)
			}
		}
	}
	return nil
}

// EncodedHeaders holds that values are encoded as RFC 2047 has it where they are not ASCII, and returns them decoded.
func EncodedHeaders(headers StringMap) (map[string]string, error) {
	out := map[string]string{}
	for name, value := range headers {
		text, err := new(mime.WordDecoder).DecodeHeader(value)
		if err != nil || strings.ContainsFunc(value, func(r rune) bool { return r > '~' }) {
			return nil, fmt.Errorf("the header %s is not properly encoded", name)
		}
		out[name] = text
	}
	return out, nil
}

var addressForm = regexp.MustCompile(`^(?:[!#-'*+/-9=?A-Z^-~-]+(?:\.[!#-'*+/-9=?A-Z^-~-]+)*|"[ -~]*")@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

// CheckAddress checks a bare address as the APIs do: ASCII, a domain with a dot.
func CheckAddress(s string) error {
	if !addressForm.MatchString(s) || !strings.Contains(s[strings.LastIndex(s, "@"):], ".") {
		return fmt.Errorf("%q does not contain a valid address", s)
	}
	return nil
}

// Mailbox reads `Name <a@b>` or `a@b`; the name may hold anything but must be quoted where RFC 5322 says so.
func Mailbox(s string) (addr string, err error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) {
		return "", fmt.Errorf("%q holds control characters", s)
	}
	addr = s
	if i := strings.LastIndex(s, "<"); i >= 0 {
		addr = strings.TrimSuffix(s[i+1:], ">")
	}
	if err := CheckAddress(addr); err != nil {
		return "", err
	}
	if _, err := mail.ParseAddress(s); err != nil {
		return "", fmt.Errorf("%q is no mailbox: %v", s, err)
	}
	return addr, nil
}

// DecodeFile reads base64 without blanks.
func DecodeFile(content string) ([]byte, error) {
	if strings.ContainsAny(content, "\r\n ") {
		return nil, fmt.Errorf("the content of an attachment holds blanks")
	}
	return base64.StdEncoding.Strict().DecodeString(content)
}
