package events

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
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

// Get is a request that changes nothing.
func Get(path string, query ...string) *api.Request {
	return &api.Request{Method: "GET", Path: path + queryOf(query), Header: []string{"Accept", "application/json"}}
}

func queryOf(pairs []string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// Delete removes what may not be there.
func (r *Reader) Delete(ctx context.Context, path string) error {
	err := r.Read(ctx, &api.Request{Method: "DELETE", Path: path, Header: []string{"Accept", "application/json"}}, nil)
	if IsMissing(err) {
		return nil
	}
	return err
}

// Moment reads a time in one of the ways in which providers write it; zero where it cannot be read.
func Moment(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07", time.RFC1123, time.RFC1123Z, time.DateTime} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil && s > 0 && s < 1e11 {
		return time.Unix(int64(s), 0).UTC()
	}
	return time.Time{}
}
