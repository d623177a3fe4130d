package row

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mailhatch/gateway/queue"
)

// Suppression is a row of the list of suppressed addresses. It is compared by Address and Domain.
type Suppression struct {
	Address, Domain, Reason string
	At, Until               int64 // milliseconds; Until 0: for good
	Info                    string
}

// NewSuppression makes the row of an entry.
func NewSuppression(s *queue.Suppression) (Suppression, error) {
	info, err := json.Marshal(s)
	r := Suppression{Address: s.AddressKey(), Domain: strings.ToLower(s.Domain), Reason: string(s.Reason), At: s.At.UnixMilli(), Info: string(info)}
	if !s.Until.IsZero() {
		r.Until = s.Until.UnixMilli()
	}
	return r, err
}

// Decode reads the row back.
func (r *Suppression) Decode() (queue.Suppression, error) {
	s := queue.Suppression{Domain: r.Domain, Reason: queue.SuppressionReason(r.Reason), At: time.UnixMilli(r.At)}
	if r.Until != 0 {
		s.Until = time.UnixMilli(r.Until)
	}
	if err := json.Unmarshal([]byte(r.Info), &s); err != nil {
		return s, fmt.Errorf("the suppression of %s: %w", r.Address, err)
	}
	s.Key = strconv.FormatInt(r.At, 10) + "/" + r.Domain + "/" + r.Address
	return s, nil
}

// ParsePlace returns time, address and domain of the entry that a key of the list names.
func ParsePlace(key string) (at int64, address, domain string, err error) {
	parts := strings.SplitN(key, "/", 3)
	if len(parts) == 3 {
		if at, err := strconv.ParseInt(parts[0], 10, 64); err == nil {
			return at, parts[2], parts[1], nil
		}
	}
	return 0, "", "", fmt.Errorf("%w: %q", queue.ErrPlace, key)
}
