package queuetest

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// EXT4_IOC_SHUTDOWN stops an ext4 file system at once: with the flag NOLOGFLUSH nothing that is still
// in memory reaches the disk any more, as when the power goes (linux/fs/ext4/ext4.h).
const (
	ext4Shutdown   = 0x8004587D
	ext4NoLogFlush = 2
)

const powerRounds = 3

// PowerCut stops the file system under a process that accepts mail, and checks that every message
// that was acknowledged before is there afterwards. It needs root and loop devices, and skips the
// test where they are missing. Like [Crash], it must be called from a top-level test.
func PowerCut(t *testing.T, e Engine) {
	if dir := os.Getenv(childDir); dir != "" {
		if os.Getenv(childIdle) != "" {
			idleChild(t, e, dir)
		} else {
			crashChild(t, e, dir)
		}
		return
	}
	d := newDisk(t)
	acks, leased := map[string]string{}, map[string]bool{}
	for round := range powerRounds {
		idle := round == 0
		d.mount(t)
		var c *child
		if idle {
			c = startChild(t, d.state(), childIdle+"=1")
			c.await(t, idleMessages)
		} else {
			c = startChild(t, d.state())
			c.await(t, crashMinimum)
			c.drain(t, 50*time.Millisecond)
		}
		for id, what := range c.acks { // those from before the cut alone count
			acks[id] = what
		}
		maps.Copy(leased, c.leased)
		d.cut(t)
		c.end()
		d.unmount(t)
		d.mount(t)
		verify(t, e, d.state(), acks, leased, round)
		d.unmount(t)
	}
}

// disk is an ext4 file system in a file.
type disk struct {
	image, point string
	mounted      bool
}

// newDisk makes the disk or skips the test.
func newDisk(t *testing.T) *disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("the power-cut test needs root")
	}
	dir := t.TempDir()
	d := &disk{image: filepath.Join(dir, "image"), point: filepath.Join(dir, "mount")}
	if err := os.Mkdir(d.point, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(d.image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(512 << 20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", d.image).CombinedOutput(); err != nil {
		t.Skipf("the power-cut test needs mkfs.ext4: %v %s", err, out)
	}
	if err := d.tryMount(); err != nil {
		t.Skipf("the power-cut test needs loop devices: %v", err)
	}
	t.Cleanup(func() {
		if d.mounted {
			d.unmount(t)
		}
	})
	d.unmount(t)
	return d
}

func (d *disk) state() string { return filepath.Join(d.point, "state") }

func (d *disk) tryMount() error {
	out, err := exec.Command("mount", "-o", "loop", d.image, d.point).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mount: %w %s", err, out)
	}
	d.mounted = true
	return nil
}

func (d *disk) mount(t *testing.T) {
	t.Helper()
	if err := d.tryMount(); err != nil {
		t.Fatal(err)
	}
}

func (d *disk) unmount(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("umount", d.point).CombinedOutput(); err != nil {
		t.Fatalf("umount: %v %s", err, out)
	}
	d.mounted = false
}

// cut takes the power away.
func (d *disk) cut(t *testing.T) {
	t.Helper()
	f, err := os.Open(d.point)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, ext4NoLogFlush); err != nil {
		t.Skipf("the power-cut test needs EXT4_IOC_SHUTDOWN: %v", err)
	}
}
