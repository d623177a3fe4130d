package limit

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRate(2, time.Minute)
		a, b := Client{user: "a"}, Client{user: "b"}
		for i, want := range []bool{true, true, false} {
			if got := r.Allow(a); got != want {
				t.Errorf("allow %d is %v", i, got)
			}
		}
		if r.Allow(a) || !r.Allow(b) {
			t.Error("clients share their limit")
		}
		time.Sleep(30 * time.Second)
		if !r.Allow(a) || r.Allow(a) {
			t.Error("half a minute gives one back")
		}
		for i := range maxTracked {
			r.Allow(Client{user: fmt.Sprint(i)})
		}
		if n := len(r.clients); n > maxTracked {
			t.Errorf("%d clients remembered", n)
		}
		time.Sleep(time.Hour)
		r.forget()
		if n := len(r.clients); n != 0 {
			t.Errorf("%d clients at rest remembered", n)
		}
	})
}
