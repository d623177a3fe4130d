package api

import "mailhatch/upstream"

// What a message can grow to in a request, in bytes. Real ones grow by a third.
const (
	growth          = 16      // for one byte: in two places each escaped by six, and the names around short ones
	partsGrowth     = 4 << 20 // for all the parts: names and types that those without any get
	recipientGrowth = 1 << 10 // for a recipient: what stands around the address, the queue id included
	idLength        = 64      // of a queue id; ours are shorter
)

// Preflight does everything but the calls. Most mail is far from any limit: of that, only what can be
// refused is looked at, since to write the request takes as long as to send it.
func (u *Upstream) Preflight(m *upstream.Mail) error {
	if isSimple(m) && mostBytes(m) <= u.client.service.Bytes {
		if err, known := u.provider.Refuses(m); known && err != nil {
			return err
		} else if known {
			return nil
		}
	}
	return u.composeFirst(m)
}

// isSimple reports that the first recipient makes a call, whose key and fields are of usual length.
func isSimple(m *upstream.Mail) bool {
	if len(m.To) == 0 || len(m.ID) > idLength {
		return false
	}
	_, _, err := Address(m.To[0].Address)
	return err == nil
}

// mostBytes is what a request for m has at most.
func mostBytes(m *upstream.Mail) int64 {
	n := partsGrowth + growth*(m.Message.Source.Size()+int64(len(m.From)))
	for i := range m.To {
		n += recipientGrowth + growth*int64(len(m.To[i].Address))
	}
	return n
}

// composeFirst makes the request of the first call.
func (u *Upstream) composeFirst(m *upstream.Mail) error {
	composed, err := u.provider.Compose(m)
	if err != nil {
		return err
	}
	calls, refused := planCalls(m, everyone(m), u.client.service)
	if len(calls) == 0 {
		for i := range m.To {
			if e := refused[i]; e != nil {
				return e
			}
		}
		return nil
	}
	if _, err = u.client.request(composed, &calls[0]); err != nil {
		return err
	}
	return nil
}
