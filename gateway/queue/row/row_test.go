package row_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
)

// TestSuppression: an entry is read back as it was written, and its key leads to its place in the list.
func TestSuppression(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	for _, s := range []queue.Suppression{
		{Address: "Ann/b@Example.org", Domain: "example.com", Reason: queue.ReasonBounced, At: at, Until: at.Add(time.Hour), ID: "7", Words: "550 no"},
		{Address: "bob@example.org", Reason: queue.ReasonManual, At: at, By: "root"},
	} {
		stored, err := row.NewSuppression(&s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := stored.Decode()
		place, address, domain, placeErr := row.ParsePlace(got.Key)
		if place != at.UnixMilli() || address != s.AddressKey() || domain != s.Domain || placeErr != nil {
			t.Errorf("%s leads to %d, %q, %q, %v", got.Key, place, address, domain, placeErr)
		}
		if got.Key = ""; !reflect.DeepEqual(got, s) || err != nil {
			t.Errorf("%+v, %v; want %+v", got, err, s)
		}
	}
	for _, key := range []string{"", "1/2", "x/example.com/ann@example.org"} {
		if _, _, _, err := row.ParsePlace(key); !errors.Is(err, queue.ErrPlace) {
			t.Errorf("%q: %v", key, err)
		}
	}
	damaged := row.Suppression{Info: "?"}
	if _, err := damaged.Decode(); err == nil {
		t.Error("a damaged row is read")
	}
}
