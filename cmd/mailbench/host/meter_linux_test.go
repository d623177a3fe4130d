package host

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	tests := []struct {
		line string
		want procStat
		ok   bool
	}{
		{"7 (a) b) S 3 7 7 0 -1 0 0 0 0 0 1 2 3 4 20 0 1", procStat{parent: 3, cpu: 100 * time.Millisecond}, true},
		{"7 (a) S 3", procStat{}, false},
		{"7 (a) S x 7 7 0 -1 0 0 0 0 0 1 2 3 4 20", procStat{}, false},
		{"7 (a) S 3 7 7 0 -1 0 0 0 0 0 1 x 3 4 20", procStat{}, false},
		{"", procStat{}, false},
	}
	for _, tt := range tests {
		if got, ok := parseStat(tt.line); got != tt.want || ok != tt.ok {
			t.Errorf("%q: %+v %v", tt.line, got, ok)
		}
	}
}

func TestDescends(t *testing.T) {
	stats := map[int]procStat{1: {parent: 0}, 2: {parent: 1}, 3: {parent: 2}, 8: {parent: 9}, 9: {parent: 8}}
	for pid, want := range map[int]bool{2: true, 3: true, 1: false, 8: false, 77: false} {
		if got := descends(stats, pid, 2); got != want {
			t.Errorf("%d: %v", pid, got)
		}
	}
}

func TestMeterOfOwnProcess(t *testing.T) {
	m, err := StartMeter(t.Context(), os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for n, began := 0, time.Now(); time.Since(began) < 60*time.Millisecond; n++ { // use CPU
	}
	used, err := m.Finish()
	if err != nil || used.CPU < tick || used.PSS < 1<<20 || used.HWM < used.PSS/4 {
		t.Errorf("%v %+v", err, used)
	}
	if _, err := StartMeter(t.Context(), 1<<30); err == nil {
		t.Error("measured a process that is not there")
	}
}
