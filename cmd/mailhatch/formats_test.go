package main

import "testing"

// TestCSVText: what strangers wrote is neither a formula nor a control of terminals, and stays as it is else.
func TestCSVText(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "Order 1": "Order 1", "a=b": "a=b", "größer": "größer", "a, \"b\"": "a, \"b\"", "<x@y>": "<x@y>",
		"=1+1": "'=1+1", "+49": "'+49", "-2": "'-2", "@SUM(A1)": "'@SUM(A1)", "\t=1": "' =1", "\r\n=1": "'  =1", "  =1": "'  =1", "\u00a0=1": "'\u00a0=1", "＝1": "'＝1",
		"a\x1b[2Jb": "a [2Jb", "a\u202eb": "a\ufffdb", "\x1b=1": "' =1", "a\nb": "a b",
	} {
		if got := csvText(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
