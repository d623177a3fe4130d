package markup

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestFindShown(t *testing.T) {
	text := strings.Repeat("abcab", 20_000) + "cid:x;y" + strings.Repeat("z", 20_000)
	for _, tt := range []struct{ ids, want string }{
		{"x;y", "x;y"}, {"x;", "x;"}, {"a x b x;y x;yy", "x"}, {"x;ya x;yz x;z", "x;yz"}, {"b", ""}, {"x;y" + strings.Repeat("z", 20_001), ""}, {"", ""},
	} {
		if got, err := FindShown(strings.NewReader(text), strings.Fields(tt.ids)); err != nil || got != tt.want {
			t.Errorf("%.30q: %q, %v", tt.ids, got, err)
		}
	}
}

func TestMarkShown(t *testing.T) {
	long := strings.Repeat("i", 499)
	for _, html := range []string{
		"<img src=cid:a>", `<img src="cid:a%40b">`, `url(&quot;CiD:a&quot;)`, "<img src=&#x63;id:&#97;&commat;b>", "a:b:cid>", "cid:a", "cid:cid:a>", "cid:" + long + ">", "cid:" + long + "i>", "cid:>", "cid:b a>",
	} {
		for _, pad := range []int{0, generatedAtOnce - 12, generatedAtOnce - 9, generatedAtOnce - 4, streamBuffer - 6, streamBuffer - 1, streamBuffer, streamBuffer + 500} {
			ids := map[string]bool{"a": false, "a@b": false, long: false, long + "i": false, "b": false, "cid:a": false, "": false}
			if err := MarkShown(strings.NewReader(strings.Repeat(" ", pad)+html), ids); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"<img src=cid:a>": "a", `<img src="cid:a%40b">`: "a@b", "cid:cid:a>": "a cid:a", "cid:" + long + ">": long, "cid:b a>": "b",
				`url(&quot;CiD:a&quot;)`: "a", "<img src=&#x63;id:&#97;&commat;b>": "a@b"}[html]
			var got []string
			for id, shown := range ids {
				if shown {
					got = append(got, id)
				}
			}
			slices.Sort(got)
			if strings.Join(got, " ") != want {
				t.Errorf("%.30s after %d: %.60q, want %.60q", html, pad, got, want)
			}
		}
	}
}

func TestSaysSame(t *testing.T) {
	story := strings.Repeat("One two thrée four <b>five</b> six&nbsp;seven eight ", 3000)
	plain := strings.NewReplacer("<b>", "", "</b>", "", "&nbsp;", " ").Replace(story)
	var many strings.Builder
	for i := range maxWords + 1 {
		fmt.Fprintf(&many, "w%d ", i)
	}
	for _, tt := range []struct {
		name, text, html string
		want             bool
	}{
		{"few", "Hello you", "<p>Say: <b>hello</b> YOU!", true},
		{"few, in another order", "hello you", "<p>you hello", false},
		{"few, cut", "hello you", "<p>hello <i>dear</i> you", false},
		{"none", " ", "<p> ", false},
		{"many", plain, story, true},
		{"many others", plain, "<p>one two", false},
		{"nine of ten", "a b c d e f g h i j", "<p>j i h g f e d c b", true},
		{"eight of ten", "a b c d e f g h i j", "<p>j i h g f e d c", false},
		{"an open tag", "a b c d e f g h i j", "a b c d e f g <p h i j", false},
		{"a word too many", many.String(), many.String(), false},
		{"a long word", strings.Repeat("é", 3*longWord), "<p>" + strings.Repeat("É", 3*longWord), true},
	} {
		for _, wrap := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.DataErrReader} {
			if got, err := SaysSame(wrap(strings.NewReader(tt.text)), wrap(strings.NewReader(tt.html))); err != nil || got != tt.want {
				t.Errorf("%s: %v, %v", tt.name, got, err)
			}
		}
	}
}
