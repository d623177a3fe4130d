package charset

// cuts weighs whether a text with bytes that are not UTF-8 is UTF-8 all the same, one whose characters were cut by a
// program that counts bytes: at the end of the text, of a line or a field, or every so many bytes. What speaks for
// it are whole characters, and halves that fit together over a line end; against it, bytes that no cut explains.
// How many bad bytes there are says nothing.
type cuts struct {
	score int64 // above 0: it is UTF-8
	last  byte  // the byte before; of a character beyond ASCII its first one

	// A character that is cut.
	lead       byte // its first byte, 0 when there is none
	have, lack int  // its bytes so far, and those that are missing
	before     byte // it
	gap        gap  // what came since
	next       follower
}

// gap is what stands between two halves of a character.
type gap int

const (
	noGap gap = iota
	blankGap
	lineGap
)

// follower is what follows a cut character.
type follower int

const (
	letterFollows follower = iota // or another byte that is not UTF-8
	otherFollows
	lineEnds // or the text
)

// Weights of what is found.
const (
	wholeWeight    = 4  // a character that other charsets do not have by accident
	accidentWeight = 1  // one that they may have: "É" before a no-break space
	amidWeight     = -4 // a byte that no cut explains
	insideWeight   = -1 // a cut within a line; in another charset it is a letter at the end of its word
	impliedWeight  = 2  // a half that can be nothing else
	rejoinedWeight = 4  // two halves with a line end between them
	spacedWeight   = 1  // with a space
)

// isCommon reports whether two letters of windows-1252 seldom stand beside each other as the character that
// begins with lead does: Latin, Greek, Cyrillic, and all of more than two bytes.
func isCommon(lead byte) bool {
	return lead >= 0xc2 && lead <= 0xc5 || lead >= 0xce && lead <= 0xd1 || lead >= 0xe0
}

// char takes a whole character of several bytes.
func (c *cuts) char(lead byte) {
	c.close(otherFollows)
	if isCommon(lead) || c.last >= 0xc0 {
		c.score += wholeWeight
	} else {
		c.score += accidentWeight
	}
	c.last = lead
}

// ascii takes ASCII characters, at least one.
func (c *cuts) ascii(run []byte) {
	if c.lead != 0 {
		if c.gap == noGap {
			c.next = followerOf(run[0])
		}
		if c.gap = c.gap.with(run); c.gap == noGap {
			c.close(c.next)
		}
	}
	c.last = run[len(run)-1]
}

func followerOf(c byte) follower {
	switch {
	case c == '\r' || c == '\n':
		return lineEnds
	case isLetter(c):
		return letterFollows
	}
	return otherFollows
}

// with returns the gap that goes on with more characters, noGap where it would be more than a line end and an indent.
func (g gap) with(run []byte) gap {
	if len(run) > 4 {
		return noGap
	}
	for _, b := range run {
		switch b {
		case '\r', '\n':
			g = lineGap
		case ' ', '\t':
			g = max(g, blankGap)
		default:
			return noGap
		}
	}
	return g
}

// bad takes a byte that is no part of a character.
func (c *cuts) bad(b byte) {
	switch {
	case b >= 0xc0:
		c.begin(b)
	case c.lead != 0:
		c.have++
		if c.lack--; c.lack == 0 {
			c.rejoin()
		}
	case c.last >= 0x80 && c.last < 0xc0: // the rest of a character that lost its first byte goes on
	case isLetter(c.last):
		c.score += amidWeight
		c.last = b
	default:
		c.score += insideWeight
		c.last = b
	}
}

// begin starts a character that is cut.
func (c *cuts) begin(lead byte) {
	c.close(letterFollows)
	c.before, c.last = c.last, lead
	switch {
	case lead >= 0xc2 && lead < 0xe0:
		c.lack = 1
	case lead >= 0xe0 && lead < 0xf0:
		c.lack = 2
	case lead >= 0xf0 && lead < 0xf5:
		c.lack = 3
	default: // none begins so
		c.score += amidWeight
		return
	}
	c.lead, c.have, c.gap = lead, 1, noGap
}

// rejoin ends a character whose bytes are all there.
func (c *cuts) rejoin() {
	switch {
	case c.gap == noGap: // it is none
		c.score += amidWeight
	case !isCommon(c.lead):
	case c.gap == lineGap:
		c.score += rejoinedWeight
	default:
		c.score += spacedWeight
	}
	c.lead, c.last = 0, c.lead
}

// close ends a character that stays cut, if there is one.
func (c *cuts) close(next follower) {
	if c.lead == 0 {
		return
	}
	if c.gap != noGap {
		next = c.next
	}
	lead := c.lead
	c.lead = 0
	switch next {
	case letterFollows:
		c.score += amidWeight
		return
	case otherFollows:
		c.score += insideWeight
	}
	// "Ã" behind a small letter, "â€" and "ðŸ" end no word.
	if c.have == 1 && lead < 0xe0 && c.before >= 'a' && c.before <= 'z' || c.have == 2 && lead == 0xe2 || c.have >= 2 && lead == 0xf0 {
		c.score += impliedWeight
	}
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
