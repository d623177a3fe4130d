package mime

import (
	"io"
	"strings"
	"testing"
)

// TestTextUnwrapsFlowed: whoever reads a text is not told of its label, so paragraphs and links are whole.
func TestTextUnwrapsFlowed(t *testing.T) {
	const wrapped = " From the shop: https://shop.example/order/ \r\n4711 ö \r\n\r\n> quoted \r\n> text\r\n"
	for _, tt := range []struct{ contentType, want string }{
		{"text/plain; charset=utf-8; format=flowed; delsp=yes", "From the shop: https://shop.example/order/4711 ö\r\n> quotedtext\r\n"},
		{"text/plain; charset=utf-8; Format=Flowed; DelSp=YES", "From the shop: https://shop.example/order/4711 ö\r\n> quotedtext\r\n"},
		{"text/plain; charset=utf-8; format=flowed", "From the shop: https://shop.example/order/ 4711 ö \r\n> quoted text\r\n"},
		{"text/plain; charset=utf-8; format=fixed; delsp=yes", wrapped},
		{"text/html; charset=utf-8; format=flowed", wrapped},
	} {
		for _, limit := range []int64{TextInMemory, 0} {
			m, err := Parse(NewBytesSource([]byte("Content-Type: " + tt.contentType + "\r\n\r\n" + wrapped)))
			if err != nil {
				t.Fatal(err)
			}
			text, _, err := m.Root.Text(limit)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(text.Open())
			if err != nil || string(b) != tt.want || text.Size() != int64(len(b)) || !text.Exact {
				t.Errorf("%s, limit %d: %q, %d bytes, %v, %v", tt.contentType, limit, b, text.Size(), text.Exact, err)
			}
			if _, held := text.Held(); held != (limit > 0) {
				t.Errorf("limit %d: held %v", limit, held)
			}
		}
	}
	m, err := Parse(NewBytesSource([]byte("Content-Type: text/plain; format=flowed\r\n\r\n" + strings.Repeat(" \r\n", 3))))
	if err != nil {
		t.Fatal(err)
	}
	if text, _, err := m.Root.Text(TextInMemory); err != nil || !text.IsBlank() {
		t.Errorf("%v, %v", text, err)
	}
}
