package raw

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"mailhatch/mime"
)

func TestJSON(t *testing.T) {
	var all []byte
	for c := range 128 {
		all = append(all, byte(c))
	}
	for name, text := range map[string]string{
		"nothing":    "",
		"plain":      "Subject: s",
		"every byte": string(all),
		"escapes":    strings.Repeat("\"\\\r\n\t\x00", 20_000),
		"long":       strings.Repeat("a line of a message\r\n", 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := inJSON(mime.NewBytesSource([]byte(text)))
			if err != nil {
				t.Fatal(err)
			}
			var got string
			if err := json.Unmarshal([]byte(`"`+read(t, s)+`"`), &got); err != nil || got != text {
				t.Errorf("%.100q, %v", got, err)
			}
			// In pieces, again.
			b, err := io.ReadAll(iotest.OneByteReader(s.Open()))
			if err != nil || int64(len(b)) != s.Length {
				t.Errorf("%d bytes of %d, %v", len(b), s.Length, err)
			}
		})
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte("Subject: \"s\"\r\n\r\n\x00\x7f\\"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for i := range text {
			text[i] &= 0x7f
		}
		s, err := inJSON(mime.NewBytesSource(text))
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := json.Unmarshal([]byte(`"`+read(t, s)+`"`), &got); err != nil || got != string(text) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// broken is a disk that fails.
type broken struct{ mime.Source }

func (broken) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

func TestJSONOfUnreadableMessage(t *testing.T) {
	if _, err := inJSON(broken{mime.NewBytesSource([]byte("x"))}); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

// TestSevenBitIsFree: a message that is a text leaves byte for byte.
func TestSevenBitIsFree(t *testing.T) {
	const text = "From: a@example.com\nMessage-ID: <m@x>\nX-Other: =?utf-8?q?=C3=BC?=\n\nbody\n"
	src, e := Form{Bytes: 1000, sevenBit: true}.Message(makeMail(t, "", text))
	if e != nil || read(t, Bytes(src)) != strings.ReplaceAll(text, "\n", "\r\n") {
		t.Error(e)
	}
}

func TestSevenBit(t *testing.T) {
	for message, want := range map[string]string{
		"X: \xfc\n\nbody":                                                  "X: =?",
		"To: Jörg <a@bücher.example>\n\n":                                  "<a@xn--bcher-kva.example>",
		"To: \"@bücher\" <a@b.example>\n\n":                                "<a@b.example>",
		"To: (@ü.example) a@ü.example,b@c\n\n":                             "a@xn--tda.example",
		"Cc: a@ü.example\n\n":                                              "Cc: a@xn--tda.example",
		"To: a@ü.example\nTo: b@bücher.example\n\n":                        "b@xn--bcher-kva.example",
		"To: ü@example.com\n\n":                                            "5.6.7",
		"To: a@b\xfc.example\n\n":                                          "",
		"MIME-Version: 1.0\nContent-Type: message/delivery-status\n\n\xfc": "5.6.3",
	} {
		src, e := Form{Bytes: 1000, sevenBit: true}.Message(makeMail(t, "", "From: a@example.com\nMessage-ID: <m@x>\n"+message))
		if e != nil {
			if !strings.HasPrefix(want, "5.") || e.Code != want {
				t.Errorf("%q: %+v", message, e)
			}
			continue
		}
		got := read(t, Bytes(src))
		if !mime.IsASCII([]byte(got)) || !strings.Contains(strings.ReplaceAll(got, "\r\n ", " "), want) || bytes.Contains([]byte(want), []byte("5.6")) {
			t.Errorf("%q: %q, want %q", message, got, want)
		}
	}
}
