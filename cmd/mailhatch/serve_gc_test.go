package main

import (
	"runtime/debug"
	"testing"
)

func TestCollectLess(t *testing.T) {
	now := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	before := now()
	for _, c := range []struct {
		env  string
		want int
	}{{"", gcPercent}, {"100", before}, {"off", before}} {
		t.Setenv("GOGC", c.env)
		restore := collectLess()
		if got := now(); got != c.want {
			t.Errorf("GOGC=%q: %d", c.env, got)
		}
		restore()
		if got := now(); got != before {
			t.Errorf("GOGC=%q: %d is left behind", c.env, got)
		}
	}
}
