package mailq

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// Ask asks the gateway that answers on a socket what the account of this process may know.
func Ask(ctx context.Context, socket string) (*Answer, error) {
	connect := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	c := &http.Client{Timeout: answerTimeout + askTimeout, Transport: &http.Transport{DialContext: connect, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/mailq", nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking mailhatch on %s: %w", socket, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		words, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return nil, fmt.Errorf("mailhatch answered %s: %s", resp.Status, strings.TrimSpace(string(words)))
	}
	var a Answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return nil, fmt.Errorf("reading the answer of mailhatch: %w", err)
	}
	return &a, nil
}
