package smtpd

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestTempo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := newRateLimiter(2, time.Minute)
		a, b := client{user: "a"}, client{user: "b"}
		for i, want := range []bool{true, true, false} {
			if got := tp.allow(a); got != want {
				t.Errorf("allow %d is %v", i, got)
			}
		}
		if tp.allow(a) || !tp.allow(b) {
			t.Error("clients share their rateLimiter")
		}
		time.Sleep(30 * time.Second)
		if !tp.allow(a) || tp.allow(a) {
			t.Error("half a minute gives one back")
		}
		for i := range maxTracked {
			tp.allow(client{user: fmt.Sprint(i)})
		}
		if n := len(tp.clients); n > maxTracked {
			t.Errorf("%d clients remembered", n)
		}
		time.Sleep(time.Hour)
		tp.forget()
		if n := len(tp.clients); n != 0 {
			t.Errorf("%d clients at rest remembered", n)
		}
	})
}
