package identity

import (
	"maps"
	"slices"
	"strings"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// Expand replaces recipients that have an alias by their targets, chains followed, bare names
// completed, each address once without regard to case. A name that leads back to itself stays: root =
// ["root", "ops@example.com"] keeps root. DSN parameters follow; Given remembers the first address.
// Recipients whose domain is not local are touched by aliases for their whole address only. Those whose alias
// leads to no address are in ended.
func (a *Aliases) Expand(id *Identity, to []envelope.Recipient) (reached []envelope.Recipient, ended []Ending) {
	e := expansion{aliases: a, id: id, seen: map[string]bool{}}
	for _, r := range to {
		first := id.spot(r)
		e.from, e.arrived = r, false
		e.expand(first, map[string]progress{})
		if !e.arrived {
			e.emit(first.address) // a loop without an exit: no mail is lost by it
		}
	}
	return e.out, e.ended
}

// Resolve returns the addresses that mail for a name or address goes to; none when its alias has none.
func (a *Aliases) Resolve(id *Identity, name string) []string {
	var list []string
	to, _ := a.Expand(id, []envelope.Recipient{{Address: name}})
	for _, r := range to {
		list = append(list, r.Address)
	}
	return list
}

// Loops returns the aliases that lead only back to themselves, in lower case and in order.
func (a *Aliases) Loops(id *Identity) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(a.entries)) {
		e := expansion{aliases: a, id: id, seen: map[string]bool{}}
		if e.expand(id.spot(envelope.Recipient{Address: name}), map[string]progress{}); !e.arrived {
			list = append(list, name)
		}
	}
	return list
}

// spot is an address on the way through aliases.
type spot struct {
	address string // completed
	bare    bool   // it was a name without a domain
}

// spot returns where a recipient begins. A session has completed a bare name, perhaps by the domain of an
// earlier config.
func (id *Identity) spot(r envelope.Recipient) spot {
	local, domain, _ := mime.SplitAddress(r.Address)
	if bare := domain == "" || r.Given == local; !bare {
		return spot{address: r.Address}
	}
	return spot{id.Qualify(local), true}
}

// progress reports how far an alias has been followed for one recipient.
type progress int

const (
	following progress = iota + 1 // we are within it: coming back is a loop
	followed
)

type expansion struct {
	aliases *Aliases
	id      *Identity
	from    envelope.Recipient // whose alias is being followed
	arrived bool               // from leads to an address or an ending
	seen    map[string]bool    // addresses in out and ended, in lower case
	out     []envelope.Recipient
	ended   []Ending
}

func (e *expansion) expand(at spot, done map[string]progress) {
	key, entry, found := e.aliases.lookup(e.id, at)
	switch {
	case !found:
		e.emit(at.address)
		return
	case len(entry.targets) == 0:
		e.end(at.address, entry.ending)
		return
	}
	done[key] = following
	for _, target := range entry.targets {
		target, final := strings.CutPrefix(target, `\`)
		to := e.id.spot(envelope.Recipient{Address: target})
		next, _, _ := e.aliases.lookup(e.id, to)
		switch {
		case final || found && next == key || next == catchAll && done[next] == following:
			e.emit(to.address)
		case done[next] == 0:
			e.expand(to, done)
		}
	}
	done[key] = followed
}

// emit adds an address that mail goes to.
func (e *expansion) emit(address string) {
	if r, ok := e.arrive(address); ok {
		e.out = append(e.out, r)
	}
}

// end adds a recipient whose alias leads to no address.
func (e *expansion) end(address string, how Ending) {
	if r, ok := e.arrive(address); ok {
		how.Recipient = r
		e.ended = append(e.ended, how)
	}
}

// arrive returns the recipient in its new form, unless it is there already.
func (e *expansion) arrive(address string) (r envelope.Recipient, isNew bool) {
	e.arrived = true
	key := mime.AddressKey(address)
	if e.seen[key] {
		return r, false
	}
	e.seen[key] = true
	r = e.from
	if r.Address != address {
		if r.Given == "" {
			r.Given = r.Address
		}
		r.Address = address
	}
	return r, true
}

// lookup finds the alias of an address: its own, that of its local part when the domain is local, and
// for postmaster (RFC 5321 4.5.1) and mailer-daemon that of root or postmaster; else the one for all local
// names. That one leaves addresses of [identity] domain alone unless they are of this host or bare names:
// others have mailboxes there.
func (a *Aliases) lookup(id *Identity, at spot) (key string, entry alias, found bool) {
	key = mime.AddressKey(at.address)
	if entry, found = a.entries[key]; found || len(a.entries) == 0 {
		return key, entry, found
	}
	local, domain, _ := mime.SplitAddress(key)
	ours := id.ownsHost(domain)
	if !ours && !strings.EqualFold(domain, id.Domain) {
		return "", alias{}, false
	}
	names := []string{local}
	switch local {
	case "postmaster":
		names = append(names, "root")
	case "mailer-daemon":
		names = append(names, "postmaster", "root")
	}
	if ours || at.bare {
		names = append(names, catchAll)
	}
	for _, name := range names {
		if entry, found = a.entries[name]; found {
			return name, entry, true
		}
	}
	return "", alias{}, false
}
