package waiting

import (
	"maps"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
)

func TestUnderWay(t *testing.T) {
	var u UnderWay
	first, second := time.Now(), time.Now().Add(time.Second)
	end := u.Begin("A", []envelope.Recipient{{Address: "a@x"}, {Address: "b@x"}}, first)
	endOther := u.Begin("A", []envelope.Recipient{{Address: "c@x"}}, second)
	if got, want := u.List(), (map[Key]time.Time{{"A", "a@x"}: first, {"A", "b@x"}: first, {"A", "c@x"}: second}); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	end()
	if got, want := u.List(), (map[Key]time.Time{{"A", "c@x"}: second}); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if endOther(); len(u.List()) != 0 {
		t.Errorf("%v is left", u.List())
	}
}
