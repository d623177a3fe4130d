//go:build unix

package maildrop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
)

// many are so many recipients.
func many(n int) []envelope.Recipient {
	list := make([]envelope.Recipient, n)
	for i := range list {
		list[i].Address = fmt.Sprintf("r%02d@example.org", i)
	}
	return list
}

// recipients are all to whom a message was taken, in order.
func (r *rig) recipients() (all []string) {
	for _, env := range r.envs {
		if len(env.To) > 3 {
			r.t.Errorf("%d recipients at once", len(env.To))
		}
		for _, rcpt := range env.To {
			all = append(all, rcpt.Address)
		}
	}
	slices.Sort(all)
	return all
}

func addresses(list []envelope.Recipient) (all []string) {
	for _, rcpt := range list {
		all = append(all, rcpt.Address)
	}
	return all
}

// A message with more recipients than a message may have is taken several times; a failure between loses and
// repeats nothing.
func TestManyRecipients(t *testing.T) {
	for fail := range 4 {
		r := newRig(t)
		r.write(&envelope.Envelope{To: many(8)}, message)
		turns := 0
		take := func(d *Drop) error {
			if turns++; turns == fail {
				return errors.New("not now")
			}
			r.got, r.envs = append(r.got, d.Name), append(r.envs, d.Envelope)
			return nil
		}
		report := func(err error) { r.reported = append(r.reported, err.Error()) }
		for i := range 2 {
			if err := r.box.Each(context.Background(), Limits{1000, 3}, take, report); (err != nil) != (i == 0 && fail > 0) {
				t.Errorf("failure %d: %v", fail, err)
			}
		}
		if got := r.recipients(); !slices.Equal(got, addresses(many(8))) || len(r.got) != 3 || len(r.reported) != 0 {
			t.Errorf("failure %d: taken %q by %q, reported %q", fail, got, r.got, r.reported)
		}
		if left := slices.Concat(r.files(takenName), r.files(refusedName)); len(left) != 0 {
			t.Errorf("failure %d: left %q", fail, left)
		}
	}
}

// Recipients that cannot be taken do not keep those after them from the message, which stays for the operator.
func TestSomeRecipientsRefused(t *testing.T) {
	r := newRig(t)
	r.write(&envelope.Envelope{To: many(8)}, message)
	take := func(d *Drop) error {
		if d.Envelope.To[0].Address == "r03@example.org" {
			return &Refusal{errors.New("never")}
		}
		r.envs = append(r.envs, d.Envelope)
		return nil
	}
	if err := r.box.Each(context.Background(), Limits{1000, 3}, take, func(err error) { r.reported = append(r.reported, err.Error()) }); err != nil {
		t.Fatal(err)
	}
	all := addresses(many(8))
	if got := r.recipients(); !slices.Equal(got, slices.Concat(all[:3], all[6:])) {
		t.Errorf("taken %q", got)
	}
	if aside := r.files(refusedName); len(aside) != 1 || len(r.files(takenName)) != 0 || len(r.reported) != 2 ||
		!strings.Contains(r.reported[0], "recipients 4 to 6") {
		t.Errorf("aside %q, reported %q", aside, r.reported)
	}
}

// Accounts take turns: what one has left, before or in the middle, does not keep the other's mail waiting.
func TestAccountsTakeTurns(t *testing.T) {
	r := newRig(t)
	r.box.owner = func(info fs.FileInfo) uint32 { return uint32(info.Size() % 2) }
	for range 10 {
		r.write(&envelope.Envelope{To: many(90)}, message)
	}
	busy := ownerOfOnly(t, r)
	var once sync.Once
	served := make(chan struct{})
	patience, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var mu sync.Mutex
	at, most := 0, 0
	take := func(d *Drop) error {
		if len(d.Envelope.To) == 1 {
			close(served)
			return nil
		}
		mu.Lock()
		at++
		most = max(most, at)
		mu.Unlock()
		once.Do(func() { // while the first account's mail is being taken
			r.write(&envelope.Envelope{To: many(1)}, message+strings.Repeat("x", r.padding(busy)))
		})
		select {
		case <-served:
		case <-patience.Done():
			return errors.New("the other account waits")
		}
		mu.Lock()
		at--
		mu.Unlock()
		return nil
	}
	if err := r.box.Each(context.Background(), Limits{1000, 3}, take, nil); err != nil {
		t.Fatal(err)
	}
	if most != perAccount {
		t.Errorf("%d messages of one account at once, want %d", most, perAccount)
	}
}

// ownerOfOnly is the account of all files that wait.
func ownerOfOnly(t *testing.T, r *rig) uint32 {
	info, err := os.Stat(filepath.Join(r.dir(), r.files(DirName)[0]))
	if err != nil {
		t.Fatal(err)
	}
	return r.box.owner(info)
}

// padding is how long a message to one must be made for its file to be another account's.
func (r *rig) padding(busy uint32) int {
	var b strings.Builder
	if _, err := encode(&b, &envelope.Envelope{To: many(1)}, int64(len(message)), strings.NewReader(message)); err != nil {
		r.t.Fatal(err)
	}
	if uint32(b.Len()%2) == busy {
		return 1
	}
	return 0
}

// However many files an account leaves, those of others are found, and all are taken in the end.
func TestManyFiles(t *testing.T) {
	r := newRig(t)
	const n = 2*maxListed + 50
	for i := range n {
		file := fmt.Sprintf("%s{\"from\":\"\",\"to\":[{\"address\":\"a@b\"}],\"size\":0}\n", magic)
		name := mailPrefix + strings.Repeat("A", nameLength-3) + string([]byte{byte('A' + i/676), byte('A' + i/26%26), byte('A' + i%26)})
		if err := os.WriteFile(filepath.Join(r.dir(), name), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.mustEach()
	if len(r.got) != n {
		t.Errorf("%d of %d were taken", len(r.got), n)
	}
}
