package smtp

import "testing"

func TestKeywords(t *testing.T) {
	const text = "220 relay.test hello\r\n250-relay.test\r\n250-auth plain Login\r\n250-auth=plain\r\n2500-size\r\n 250-size\r\n250 size 100\r\n535 5.7.8 no"
	const want = "220 relay.test hello\r\n250-RELAY.TEST\r\n250-AUTH plain Login\r\n250-AUTH=plain\r\n2500-size\r\n 250-size\r\n250 SIZE 100\r\n535 5.7.8 no"
	for size := 1; size <= len(text); size++ { // however it is cut
		var k keywords
		got := []byte(text)
		for rest := got; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			k.read(rest[:min(size, len(rest))])
		}
		if string(got) != want {
			t.Errorf("by %d: %q", size, got)
		}
	}
}
