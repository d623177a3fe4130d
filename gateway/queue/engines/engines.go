// Package engines is the table of the queue's engines.
package engines

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres"
	"mailhatch/gateway/queue/sqlite"
)

// Default is the engine of a config that names none.
const Default = "sqlite"

// kind is how the store of an engine is opened.
type kind struct {
	open func(ctx context.Context, s queue.Settings) (queue.Engine, error)
	// read opens a store that no process has open. Its error wraps fs.ErrNotExist where there is none.
	read func(ctx context.Context, s queue.Settings) (queue.Reader, error)
	// recover rebuilds a store that open refuses with queue.ErrDamagedLog; nil: the engine has no such damage.
	recover func(ctx context.Context, s queue.Settings, ids []string) (queue.Recovery, error)
	// migrate brings the schema of a database that gateways share to the version of this program; nil: opening does.
	migrate func(ctx context.Context, s queue.Settings) (before, now int, err error)
}

// kinds is the table: a new engine is one line here.
func kinds() map[string]kind {
	return map[string]kind{
		"sqlite":   {opener(sqlite.Open), sqlite.OpenReadOnly, sqlite.Recover, nil},
		"postgres": {opener(postgres.Open), postgres.OpenReadOnly, nil, postgres.Migrate},
	}
}

func opener[E queue.Engine](open func(context.Context, queue.Settings) (E, error)) func(context.Context, queue.Settings) (queue.Engine, error) {
	return func(ctx context.Context, s queue.Settings) (queue.Engine, error) {
		e, err := open(ctx, s)
		if err != nil {
			return nil, err
		}
		return e, nil
	}
}

// Shared reports whether several gateways can have a store of the engine open at once.
func Shared(engine string) bool { return kinds()[engine].migrate != nil }

// Names returns the engines in alphabetical order.
func Names() []string { return slices.Sorted(maps.Keys(kinds())) }

// Open opens a store, or makes it where there is none. The error wraps queue.ErrLocked where another
// process has it and the engine cannot share it.
func Open(ctx context.Context, engine string, s queue.Settings) (queue.Engine, error) {
	k, err := find(engine)
	if err != nil {
		return nil, err
	}
	return k.open(ctx, s)
}

// Read opens a store for reading that no process has open. The error wraps fs.ErrNotExist where there is none.
func Read(ctx context.Context, engine string, s queue.Settings) (queue.Reader, error) {
	k, err := find(engine)
	if err != nil {
		return nil, err
	}
	return k.read(ctx, s)
}

func find(engine string) (kind, error) {
	k, ok := kinds()[engine]
	if !ok {
		return kind{}, fmt.Errorf("queue: unknown engine %q; must be one of %s", engine, strings.Join(Names(), ", "))
	}
	return k, nil
}

// Recover rebuilds a store that cannot be opened because acknowledged mail would be lost, and puts back the messages of
// ids that were set aside. What comes back is on hold.
func Recover(ctx context.Context, engine string, s queue.Settings, ids []string) (queue.Recovery, error) {
	k, err := find(engine)
	if err != nil {
		return queue.Recovery{}, err
	}
	if k.recover == nil {
		return queue.Recovery{}, fmt.Errorf("queue: the engine %s needs no recovery", engine)
	}
	return k.recover(ctx, s, ids)
}

// Migrate brings the schema of a store to the version of this program, as the first gateway of that version does when it
// opens it, and returns the versions before and now.
func Migrate(ctx context.Context, engine string, s queue.Settings) (before, now int, err error) {
	k, err := find(engine)
	if err != nil {
		return 0, 0, err
	}
	if k.migrate == nil {
		return 0, 0, fmt.Errorf("queue: the %s engine updates its files by itself", engine)
	}
	return k.migrate(ctx, s)
}
