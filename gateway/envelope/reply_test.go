package envelope

import (
	"strings"
	"testing"
)

func TestReplyError(t *testing.T) {
	if got := (&Reply{550, [3]int{5, 1, 1}, "No"}).Error(); got != "550 5.1.1 No" {
		t.Error(got)
	}
}

func TestParseReply(t *testing.T) {
	tests := []struct {
		text string
		want Reply
		ok   bool
	}{
		{"550 no", Reply{550, [3]int{5, 7, 1}, "no"}, true},
		{"451 later", Reply{451, [3]int{4, 7, 1}, "later"}, true},
		{"550 5.1.1  no such user", Reply{550, [3]int{5, 1, 1}, "no such user"}, true},
		{"550 10.0.0.1 is blocked", Reply{550, [3]int{5, 7, 1}, "10.0.0.1 is blocked"}, true},
		{"550 4.1.1 x", Reply{}, false}, {"550 5.1.1", Reply{}, false}, {"550 5.1.1234 x", Reply{}, false},
		{"550 5..1 x", Reply{}, false}, {"250 x", Reply{}, false}, {"600 x", Reply{}, false}, {"569 x", Reply{}, false},
		{"421 x", Reply{}, false}, {"55 x", Reply{}, false}, {"+550 x", Reply{}, false}, {"550", Reply{}, false},
		{"550 a\r\nb", Reply{}, false}, {"550 ü", Reply{}, false}, {"550 " + strings.Repeat("x", 481), Reply{}, false},
	}
	for _, tc := range tests {
		got, err := ParseReply(tc.text)
		if (err == nil) != tc.ok || got != tc.want {
			t.Errorf("%q: %+v %v", tc.text, got, err)
		}
	}
}

func TestParseStatus(t *testing.T) {
	for text, want := range map[string][3]int{"5.1.1": {5, 1, 1}, "4.7.999": {4, 7, 999}} {
		if got, ok := ParseStatus(text); !ok || got != want {
			t.Errorf("%q: %v %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "5.1", "5.1.1.1", "5.1.1000", "5.+1.1", "5.-1.1", "5.x.1", "invalid_from"} {
		if got, ok := ParseStatus(text); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}
