package budget

import (
	"context"
	"runtime/debug"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

func TestHeadersShareMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(32 << 20)
		acquire := func(size, header int64) (func(), error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return m.Acquire(ctx, m.Weight(size, header))
		}
		heavy, err := acquire(40<<20, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := acquire(2<<20, 100<<10); err == nil {
			t.Error("two large headers at once")
		}
		for range 100 {
			if _, err := acquire(40<<20, 8<<10); err != nil {
				t.Error("a body waits for a header:", err)
			}
		}
		heavy()
		heavy() // releases once
		for range 10 {
			if _, err := acquire(2<<20, 100<<10); err != nil {
				t.Error(err)
			}
		}
		if _, err := acquire(2<<20, 100<<10); err == nil {
			t.Error("more than the budget")
		}
	})
}

func TestAloneAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(32 << 20)
		m.BeCareful(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		release, err := m.Acquire(ctx, m.Weight(40<<20, 1000))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Acquire(ctx, m.Weight(100<<10, 1000)); err != nil {
			t.Error("a small message waits:", err)
		}
		if _, err := m.Acquire(ctx, m.Weight(2<<20, 1000)); err == nil {
			t.Error("two large messages at once")
		}
		release()
		time.Sleep(time.Minute)
		for range 2 {
			if _, err := m.Acquire(t.Context(), m.Weight(40<<20, 1000)); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestWithoutBudget(t *testing.T) {
	var m *Memory
	for range 2 {
		if _, err := m.Acquire(t.Context(), m.Weight(1<<40, 1<<40)); err != nil {
			t.Error(err)
		}
	}
}

func TestLimit(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	for _, tt := range []struct {
		name  string
		env   int64
		files map[string]string
		want  int64
	}{
		{"nothing known", 0, nil, unknown},
		{"GOMEMLIMIT", 400 << 20, map[string]string{"proc/meminfo": "MemTotal: 1000 kB\n"}, 400 << 20},
		{"the machine", 0, map[string]string{"proc/meminfo": "MemFree: 1 kB\nMemTotal:       2048 kB\n"}, 2 << 20},
		{"v2", 0, map[string]string{"proc/meminfo": "MemTotal: 2048 kB\n", "proc/self/cgroup": "0::/system.slice/mailhatch.service\n",
			"sys/fs/cgroup/system.slice/memory.max": "3000\n", "sys/fs/cgroup/system.slice/mailhatch.service/memory.max": "max\n"}, 3000},
		{"v2 in a container", 0, map[string]string{"proc/self/cgroup": "0::/../docker/x\n", "sys/fs/cgroup/memory.max": "5000\n"}, 5000},
		{"v2 without limit", 0, map[string]string{"proc/self/cgroup": "0::/\n", "proc/meminfo": "MemTotal: 2048 kB\n"}, 2 << 20},
		{"v1", 0, map[string]string{"proc/self/cgroup": "5:cpu:/a\n4:memory:/docker/x\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "6000\n"}, 6000},
		{"v1 without limit", 0, map[string]string{"proc/self/cgroup": "4:memory:/\n", "proc/meminfo": "MemTotal: 2048 kB\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 2 << 20},
	} {
		root := fstest.MapFS{}
		for name, text := range tt.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		debug.SetMemoryLimit(1<<63 - 1)
		if tt.env > 0 {
			debug.SetMemoryLimit(tt.env)
		}
		if got := limit(root); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
		if got := Size(root); got != min(tt.want/share, most) {
			t.Errorf("%s: a budget of %d", tt.name, got)
		}
	}
}
