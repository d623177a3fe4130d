package mime

import (
	"bytes"
	"io"
	"strings"

	"mailhatch/mime/transfer"
)

// Limits of the tree.
const (
	maxHeader      = 1 << 20 // bytes of a message's header, and of the headers of all its parts together
	maxHeaderLines = 100_000
	maxPartHeader  = 64 << 10
	maxDepth       = 128  // multiparts within each other
	maxParts       = 1000 // leaves and multiparts
	maxBoundaryLen = 1000 // RFC 2046 5.1.1 says 70
)

// scanner finds the tree of parts in one pass over the source (RFC 2046 5.1).
type scanner struct {
	src   Source
	lines lineReader

	open   []*openMultipart      // outermost first
	places map[string][]int      // indices into open by delimiter, in their order
	leaf   *Part                 // the part whose body is being read, nil in preambles and epilogues
	check  *transfer.Base64Check // watches leaf when it is base64
	before int64                 // length of the line end before the current line
	parts  int
	header int // bytes of part headers so far
}

// openMultipart is a multipart whose end is still ahead.
type openMultipart struct {
	part      *Part
	delimiter string // "--" and the boundary
	closed    bool   // its last delimiter was seen
}

func newScanner(src Source) *scanner {
	return &scanner{src: src, lines: newLineReader(src, headerBuffer)}
}

// messageHeader reads the header of the message: raw is without the empty line, body the offset
// after it. Where the header ends without an empty line, the lines after it are read again as body.
func (s *scanner) messageHeader() (raw []byte, body int64, defect, err error) {
	block, empty, defect, err := s.block(headerBuffer, maxHeader)
	if err != nil {
		return nil, 0, nil, err
	}
	end := headerEnd(block)
	raw, body = block[:end:end], int64(end)
	if end == len(block) {
		body += empty
	}
	// The scan starts again at the body: the block may have gone beyond it.
	if body != s.position() {
		s.readFrom(body, headerBuffer)
	}
	return raw, body, defect, nil
}

// readFrom goes on at an offset, with a buffer of that size.
func (s *scanner) readFrom(offset int64, buffer int) {
	s.lines = newLineReader(Section(s.src, offset, s.src.Size()-offset), buffer)
	s.lines.pos = offset
}

// position is the offset of the line that next returns.
func (s *scanner) position() int64 {
	if s.lines.pending {
		return s.lines.last.start
	}
	return s.lines.pos
}

// block reads lines up to an empty line, a delimiter or the limit. empty is the length of the empty
// line, which is not in the block. Most blocks have no more than room bytes.
func (s *scanner) block(room, limit int) (block []byte, empty int64, defect, err error) {
	block = make([]byte, 0, min(int64(room), s.src.Size()))
	for lines := 0; ; lines++ {
		l, err := s.lines.next()
		if err == io.EOF {
			return block, 0, nil, nil
		}
		if err != nil {
			return nil, 0, nil, err
		}
		if l.first && isEmptyLine(l.bytes) {
			s.before = l.endLength()
			return block, int64(len(l.bytes)), nil, nil
		}
		if m, _ := s.match(l); m >= 0 {
			s.lines.unread()
			return block, 0, nil, nil
		}
		if len(block)+len(l.bytes) > limit || lines >= maxHeaderLines {
			s.lines.unread()
			return block[:bytes.LastIndexByte(block, '\n')+1], 0, ErrHeaderTooLarge, nil
		}
		block = append(block, l.bytes...)
		s.before = l.endLength()
	}
}

// tree reads the body of root.
func (s *scanner) tree(root *Part) error {
	s.before = 0
	s.begin(root)
	if (len(s.open) > 0 || s.check != nil) && s.src.Size()-s.position() > headerBuffer {
		s.readFrom(s.position(), lineBuffer) // most messages end here and need no large one
	}
	for len(s.open) > 0 || s.check != nil {
		l, err := s.lines.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if m, last := s.match(l); m >= 0 {
			more, err := s.delimiter(m, last, l)
			if err != nil {
				return err
			}
			if !more {
				break
			}
			continue
		}
		if s.check != nil {
			s.check.Write(l.bytes)
		}
		s.before = l.endLength()
	}
	s.end(0, s.src.Size())
	return checkUU(root)
}

// checkUU reads the uuencoded leaves once to see whether they can be decoded.
func checkUU(root *Part) error {
	for p := range root.leaves {
		if p.Defect != nil || p.encoding() != transfer.UUEncode {
			continue
		}
		n, err := io.Copy(io.Discard, p.Open())
		switch {
		case err == transfer.ErrBrokenUUEncode:
			p.Defect = err
		case err != nil:
			return err
		default:
			p.size = n + 1
		}
	}
	return nil
}

// begin starts reading the body of p.
func (s *scanner) begin(p *Part) {
	s.leaf, s.check = p, nil
	switch {
	case p.Defect != nil:
	case p.IsMultipart():
		boundary := strings.TrimRight(p.Params["boundary"], " \t")
		switch {
		case boundary == "" || len(boundary) > maxBoundaryLen:
			p.Defect = ErrNoBoundary
		case len(s.open) >= maxDepth:
			p.Defect = ErrTooDeep
		default:
			m := &openMultipart{part: p, delimiter: "--" + boundary}
			if s.places == nil {
				s.places = map[string][]int{}
			}
			s.places[m.delimiter] = append(s.places[m.delimiter], len(s.open))
			s.open = append(s.open, m)
			s.leaf = nil
		}
	case p.encoding() == transfer.Base64:
		s.check = &transfer.Base64Check{}
	case p.encoding() == transfer.Unknown:
		p.Defect = transfer.ErrUnknownEncoding
	}
}

// match reports which open multipart a line is a delimiter of, -1 for none, and whether it is the last
// one. Multiparts that still expect parts come first, innermost first; then those already closed, as
// some programs write parts after the end.
func (s *scanner) match(l line) (index int, last bool) {
	if !l.first || len(s.open) == 0 || !bytes.HasPrefix(l.bytes, []byte("--")) {
		return -1, false
	}
	text := trimBlankEnd(l.bytes)
	index = s.best(-1, s.places[string(text)])
	if stem, ends := bytes.CutSuffix(text, []byte("--")); ends {
		if i := s.best(index, s.places[string(stem)]); i != index {
			return i, true
		}
	}
	return index, false
}

// best returns that of several multiparts, and of one found before, whose delimiter a line is.
func (s *scanner) best(found int, others []int) int {
	for _, i := range others {
		if found < 0 || s.open[found].closed && !s.open[i].closed ||
			s.open[found].closed == s.open[i].closed && i > found {
			found = i
		}
	}
	return found
}

// delimiter ends what is open above multipart m and starts its next part. more is false when the
// rest of the message is not looked at.
func (s *scanner) delimiter(m int, last bool, l line) (more bool, err error) {
	s.end(m+1, max(l.start-s.before, s.bodyStart()))
	parent := s.open[m]
	if last {
		parent.closed = true
		s.before = l.endLength()
		return true, nil
	}
	parent.closed = false
	if s.parts++; s.parts > maxParts {
		rest := newPart(s.src, nil, "application/octet-stream")
		rest.headerAt, rest.start, rest.end, rest.Defect = l.start, l.start, s.src.Size(), ErrTooManyParts
		parent.part.Children = append(parent.part.Children, rest)
		return false, nil
	}
	s.before = 0
	return true, s.part(parent.part, l.end())
}

// bodyStart is where the innermost open body starts: the line end before a delimiter that follows at
// once belongs to the header.
func (s *scanner) bodyStart() int64 {
	if s.leaf != nil {
		return s.leaf.start
	}
	if n := len(s.open); n > 0 {
		return s.open[n-1].part.start
	}
	return 0
}

// part reads the header of the next part of parent and starts its body.
func (s *scanner) part(parent *Part, start int64) error {
	block, empty, defect, err := s.block(partRoom, min(maxPartHeader, maxHeader-s.header))
	if err != nil {
		return err
	}
	end := headerEnd(block)
	s.header += end
	defaultType := "text/plain"
	if parent.Type == "multipart/digest" {
		defaultType = "message/rfc822" // RFC 2046 5.1.5
	}
	p := newPart(s.src, ParseHeader(block[:end:end]), defaultType)
	p.headerAt, p.start, p.Defect = start, start+int64(end), defect
	if end == len(block) {
		p.start += empty
	}
	parent.Children = append(parent.Children, p)
	s.begin(p)
	if s.check != nil && end < len(block) { // part of the body has gone by
		s.check.Write(block[end:])
	}
	return nil
}

// end closes the leaf and the multiparts from index keep on at offset.
func (s *scanner) end(keep int, offset int64) {
	if s.leaf != nil {
		s.leaf.end = offset
		if s.check != nil && s.leaf.Defect == nil {
			size, defect := s.check.Result()
			s.leaf.Defect = defect
			switch {
			case defect == nil:
				s.leaf.size = size + 1
			case size > 0:
				s.leaf.partial = size + 1
			}
		}
		s.leaf, s.check = nil, nil
	}
	for i := len(s.open) - 1; i >= keep; i-- {
		p := s.open[i].part
		p.end = max(offset, p.start)
		if len(p.Children) == 0 {
			p.Defect = ErrNoParts
		}
		delimiter := s.open[i].delimiter
		if s.places[delimiter] = s.places[delimiter][:len(s.places[delimiter])-1]; len(s.places[delimiter]) == 0 {
			delete(s.places, delimiter)
		}
		s.open[i] = nil
	}
	s.open = s.open[:min(keep, len(s.open))]
}
