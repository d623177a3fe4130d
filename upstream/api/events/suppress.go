package events

import (
	"context"
	"strconv"
	"strings"

	"mailhatch/upstream"
)

// Lists are the lists of addresses that a provider sends nothing to, one of them after the other: a page is asked for by
// the number of its list and a place within, "2:token".
type Lists struct {
	Count int // of lists
	Page  func(ctx context.Context, list int, token string) (found []upstream.SuppressedAddress, next string, err error)
}

// Suppressed reads the page at a place; see upstream.Suppressor.
func (l *Lists) Suppressed(ctx context.Context, after string) (found []upstream.SuppressedAddress, next string, err error) {
	number, token, _ := strings.Cut(after, ":")
	n, _ := strconv.Atoi(number) // "" is the first
	if n < 0 || n >= l.Count {
		return nil, "", nil
	}
	found, token, err = l.Page(ctx, n, token)
	if err != nil {
		return nil, "", err
	}
	if token == "" {
		if n++; n == l.Count {
			return found, "", nil
		}
	}
	return found, strconv.Itoa(n) + ":" + token, nil
}

// Listed makes an entry of a provider's list. A reason that the table lacks is Suppressed.
func Listed(table map[string]upstream.EventKind, reason, address, since, words Text) upstream.SuppressedAddress {
	kind, known := table[string(reason)]
	if !known {
		kind = upstream.Suppressed
	}
	return upstream.SuppressedAddress{Address: string(address), Kind: kind, At: Moment(since), Words: OneLine(string(words))}
}

// NextOffset returns the offset behind a page; "" where the page was not full and thus the last.
func NextOffset(offset string, got, page int) string {
	if got < page {
		return ""
	}
	n, _ := strconv.Atoi(offset) // "" is the start
	return strconv.Itoa(n + page)
}
