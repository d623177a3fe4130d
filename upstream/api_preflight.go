package upstream

// What a message can grow to in a request, in bytes. Real ones grow by a third.
const (
	apiGrowth      = 16      // for one byte: in two places each escaped by six, and the names around short ones
	apiPartsGrowth = 4 << 20 // for all the parts: names and types that those without any get
	apiRcptGrowth  = 1 << 10 // for a recipient: what stands around the address, the queue id included
	apiIDLength    = 64      // of a queue id; ours are shorter
)

// preflightCalls does everything but the calls. Most mail is far from any limit: of that, only what can be
// refused is looked at, since to write the request takes as long as to send it.
func preflightCalls(p apiProvider, m *Mail) error {
	if _, limit := p.limits(); apiIsSimple(m) && apiMostBytes(m) <= limit {
		if err, known := p.refuses(m); known && err != nil {
			return err
		} else if known {
			return nil
		}
	}
	return composeFirst(p, m)
}

// apiIsSimple says that the first recipient makes a call, whose key and fields are of usual length.
func apiIsSimple(m *Mail) bool {
	if len(m.To) == 0 || len(m.ID) > apiIDLength {
		return false
	}
	_, _, err := apiAddress(m.To[0].Address)
	return err == nil
}

// apiMostBytes is what a request for m has at most.
func apiMostBytes(m *Mail) int64 {
	n := apiPartsGrowth + apiGrowth*(m.Message.Source.Size()+int64(len(m.From)))
	for i := range m.To {
		n += apiRcptGrowth + apiGrowth*int64(len(m.To[i].Address))
	}
	return n
}

// composeFirst makes the request of the first call.
func composeFirst(p apiProvider, m *Mail) error {
	letter, err := p.compose(m)
	if err != nil {
		return err
	}
	calls, refused := planCalls(m, everyone(m), p)
	if len(calls) == 0 {
		for _, i := range everyone(m) {
			if e := refused[i]; e != nil {
				return e
			}
		}
		return nil
	}
	o := &apiOffer{provider: p}
	req, err := letter(&calls[0])
	if err == nil {
		err = o.fits(req)
	}
	if err != nil {
		return err
	}
	return nil
}
