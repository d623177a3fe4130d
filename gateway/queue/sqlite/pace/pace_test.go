package pace

import (
	"testing"
	"time"
)

// TestPace: results wait only while mail comes often enough.
func TestPace(t *testing.T) {
	const most = 2 * time.Millisecond
	for _, c := range []struct {
		name  string
		mail  []time.Duration // when it came
		asked time.Duration
		want  bool
	}{
		{"no mail", nil, 0, false},
		{"the first", []time.Duration{0}, 0, false},
		{"two close together", []time.Duration{0, most}, most, true},
		{"the next is due", []time.Duration{0, most}, 2 * most, true},
		{"the next is late", []time.Duration{0, most}, 2*most + 1, false},
		{"two far apart", []time.Duration{0, most + 1}, most + 1, false},
		{"a pause, then two", []time.Duration{0, time.Hour, time.Hour + most/2}, time.Hour + most, true},
	} {
		start, p := time.Now(), Pace{Most: most}
		for _, at := range c.mail {
			p.Mail(start.Add(at))
		}
		if got := p.Waits(start.Add(c.asked)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
