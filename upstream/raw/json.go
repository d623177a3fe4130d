package raw

import (
	"io"

	"golang.org/x/text/transform"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Text is Message in its 7-bit form, as it stands between the quotes of a JSON string (RFC 8259 7).
func (f Form) Text(m *upstream.Mail, more ...mime.Edit) (api.Segment, *upstream.Error) {
	f.sevenBit = true
	src, e := f.Message(m, more...)
	if e != nil {
		return api.Segment{}, e
	}
	text, err := inJSON(src)
	if err != nil {
		return api.Segment{}, &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	return text, nil
}

// inJSON reads the message once to know its length; errors are those of reading it.
func inJSON(src mime.Source) (api.Segment, error) {
	plain := Bytes(src)
	var count jsonCounter
	if _, err := io.Copy(&count, plain.Open()); err != nil {
		return api.Segment{}, err
	}
	return api.Segment{Length: int64(count), Open: func() io.Reader { return transform.NewReader(plain.Open(), jsonString{}) }}, nil
}

// jsonCounter counts the bytes that others become.
type jsonCounter int64

// Write counts.
func (n *jsonCounter) Write(p []byte) (int, error) {
	size := len(p)
	for _, c := range p {
		if escape := escapeOf(c); escape != 0 {
			size++
			if escape == 'u' {
				size += len("0000")
			}
		}
	}
	*n += jsonCounter(size)
	return len(p), nil
}

// escapeOf returns what stands behind the backslash of an escaped byte, 0 for one that stands for itself.
func escapeOf(c byte) byte {
	switch {
	case c == '"' || c == '\\':
		return c
	case c == '\r':
		return 'r'
	case c == '\n':
		return 'n'
	case c == '\t':
		return 't'
	case c < ' ':
		return 'u'
	}
	return 0
}

// jsonString escapes what has no place in a JSON string.
type jsonString struct{ transform.NopResetter }

// Transform implements transform.Transformer.
func (jsonString) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	const hex = "0123456789abcdef"
	for nSrc < len(src) {
		run := 0
		for run < min(len(src)-nSrc, len(dst)-nDst) && escapeOf(src[nSrc+run]) == 0 {
			run++
		}
		copy(dst[nDst:], src[nSrc:nSrc+run])
		nDst, nSrc = nDst+run, nSrc+run
		if nSrc == len(src) {
			break
		}
		if nDst+len(`\u0000`) > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		c := src[nSrc]
		escape := escapeOf(c)
		if escape == 0 {
			continue // the run ended with the room
		}
		dst[nDst], dst[nDst+1] = '\\', escape
		nDst += 2
		if escape == 'u' {
			nDst += copy(dst[nDst:], []byte{'0', '0', hex[c>>4], hex[c&15]})
		}
		nSrc++
	}
	return nDst, nSrc, nil
}
