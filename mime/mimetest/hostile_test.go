package mimetest

import "testing"

func TestHostileSizes(t *testing.T) {
	const size = 1 << 20
	for name, raw := range Hostile(size) {
		if len(raw) < size/2 || len(raw) > size+150_000 {
			t.Errorf("%s has %d bytes", name, len(raw))
		}
	}
}
