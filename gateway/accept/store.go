package accept

import "io"

// storeWriter remembers its own error, to distinguish it from one of the reader.
type storeWriter struct {
	w   io.Writer
	err error
}

// Write writes to the draft.
func (s *storeWriter) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

// ReadFrom lets the draft read straight into its own memory, if it can.
func (s *storeWriter) ReadFrom(r io.Reader) (int64, error) {
	w, ok := s.w.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{s}, r)
	}
	source := &sourceReader{r: r}
	n, err := w.ReadFrom(source)
	if err != nil && source.err == nil {
		s.err = err
	}
	return n, err
}

// sourceReader remembers the error of a client.
type sourceReader struct {
	r   io.Reader
	err error
}

// Read reads from the client.
func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != io.EOF {
		s.err = err
	}
	return n, err
}
