package upstream_test

import (
	"testing"

	"mailhatch/upstream"
)

func TestSaysTooLarge(t *testing.T) {
	for words, want := range map[string]bool{
		"Message size exceeds fixed maximum message size":                        true,
		"Your message exceeded Google's message size limits.":                    true,
		"message size 52428800 exceeds size limit 26214400 of server mx.example": true,
		"Message too large":                           true,
		"message too long (more than 40960000 bytes)": true,
		"The total size of your email (body and attachments) must not exceed 30MB": true,
		"Payload Too Large":                            true,
		"Request Entity Too Large":                     true,
		"Attachments exceed the limit of 40 MB":        true,
		"The attachment is larger than 10485760 bytes": true,
		"Message header size exceeds limit":            true,
		"The mailbox is full":                          false,
		"mailbox quota exceeded":                       false,
		"Daily sending limit exceeded":                 false,
		"rate limit exceeded, try again in 5 s":        false,
		"spam score too large":                         false,
		"The subject is required. Its length is 0":     false,
		"blocked: content presents a risk":             false,
	} {
		if got := upstream.SaysTooLarge(words); got != want {
			t.Errorf("%q: %v", words, got)
		}
	}
}
