package row

import (
	"bytes"
	"encoding/json"
	"fmt"

	"mailhatch/gateway/queue"
)

// MaxFields is how many bytes of a header are kept of a message that has left the queue.
const MaxFields = 4 << 10

// Kept is what is kept of a message: the text of its row and the header, from the beginning of its bytes; bare: nothing of the
// header. nil: nothing.
func Kept(info, message []byte, bare bool) []byte {
	if bare {
		var m MessageInfo
		if json.Unmarshal(info, &m) != nil {
			return nil
		}
		m.Header.Subject, message = "", nil
		info, _ = json.Marshal(m)
	}
	fields := message[:min(len(message), MaxFields)]
	if i := bytes.Index(fields, []byte("\r\n\r\n")); i >= 0 {
		fields = fields[:i+2]
	}
	return bytes.Join([][]byte{info, fields}, []byte{0})
}

// ReadKept reads that back into what has become of the message.
func ReadKept(kept []byte, m *queue.Finished) error {
	text, fields, _ := bytes.Cut(kept, []byte{0})
	var info MessageInfo
	if err := json.Unmarshal(text, &info); err != nil {
		return fmt.Errorf("what is kept of message %s: %w", m.ID, err)
	}
	m.Envelope, m.Header, m.Fields = info.Envelope, info.Header, fields
	return nil
}
