package sqlite_test

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	zombie "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

// TestStoredTexts: the JSON in the rows is what other versions of mailhatch read and have written.
func TestStoredTexts(t *testing.T) {
	at := time.Date(2026, time.March, 1, 12, 30, 0, 500, time.UTC)
	m := wholeMail()
	m.Envelope.Received = at
	to := m.Envelope.To
	m.Parts = []queue.Part{
		{To: to, Lane: "a", State: envelope.Queued},
		{To: to[:1], Lane: "b", State: envelope.Failed, Progress: envelope.Progress{Attempts: 2, LastAttempt: at, Passed: []string{"a"}, Uncertain: true, Status: 451}},
	}
	m.Done = []queue.Record{{Recipient: to[0], State: envelope.Sent, Upstream: "a", ProviderID: "p1", Attempts: 1, At: at}}
	want := []string{
		`{"envelope":{"from":"ann@example.com","to":[{"address":"bob@example.org","given":"bob","notify":["FAILURE","DELAY"],` +
			`"orcpt":"rfc822;bob@example.org"},{"address":"öl@example.org"}],"ret":"HDRS","envid":"QQ\u003c\u003e\u00261","body":"8BITMIME","utf8":true,` +
			`"client":{"addr":"fe80::1%eth0","helo":"app1","protocol":"ESMTPSA","user":"app","listener":"127.0.0.1:1025","tls":"TLS 1.3"},` +
			`"received":"2026-03-01T12:30:00.0000005Z"},"header":{"message_id":"\u003c1@example.com\u003e","from":"Ann \u003cann@example.com\u003e","subject":"Grüße \u2028 \u0001"}}`,
		``,
		`{"to":[{"address":"bob@example.org","given":"bob","notify":["FAILURE","DELAY"],"orcpt":"rfc822;bob@example.org"}],` +
			`"progress":{"attempts":2,"last_attempt":"2026-03-01T12:30:00.0000005Z","passed":["a"],"uncertain":true,"status":451}}`,
		`{"to":{"address":"bob@example.org","given":"bob","notify":["FAILURE","DELAY"],"orcpt":"rfc822;bob@example.org"},"upstream":"a","provider_id":"p1","attempts":1,` +
			`"header":{"message_id":"\u003c1@example.com\u003e","from":"Ann \u003cann@example.com\u003e","subject":"Grüße \u2028 \u0001"},"size":1,"received":"2026-03-01T12:30:00.0000005Z"}`,
	}
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	putMail(t, s, []byte("x"), m)
	mustClose(t, s)
	if got := texts(t, dir); !slices.Equal(got, want) {
		t.Errorf("the rows hold\n%q\nwant\n%q", got, want)
	}
	// Progress that says nothing may stand there too.
	alter(t, dir, `UPDATE parts SET info = '{"progress":{}}' WHERE info = ''`)
	s = openStore(t, queue.Settings{Dir: dir})
	defer mustClose(t, s)
	list, err := s.List(context.Background(), queue.Filter{}, queue.Page{})
	if err != nil || len(list) != 1 || len(list[0].Parts) != 2 || len(list[0].Parts[0].To) != 2 {
		t.Errorf("List: %+v, %v", list, err)
	}
}

// texts reads the JSON of all rows of a closed store.
func texts(t *testing.T, dir string) (list []string) {
	t.Helper()
	conn, err := zombie.OpenConn(filepath.Join(dir, "queue.db"), zombie.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = sqlitex.ExecuteTransient(conn, "SELECT info FROM messages UNION ALL SELECT info FROM parts UNION ALL SELECT info FROM history", &sqlitex.ExecOptions{
		ResultFunc: func(s *zombie.Stmt) error { list = append(list, s.ColumnText(0)); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// wholeMail is a message with something in each field.
func wholeMail() queue.Accepted {
	to := []envelope.Recipient{
		{Address: "bob@example.org", Given: "bob", Notify: []string{"FAILURE", "DELAY"}, ORcpt: "rfc822;bob@example.org"},
		{Address: "öl@example.org"},
	}
	return queue.Accepted{
		Envelope: envelope.Envelope{From: "ann@example.com", To: to, Ret: "HDRS", EnvID: "QQ<>&1", Body: "8BITMIME", UTF8: true, Received: time.Now(),
			Client: envelope.Client{Addr: netip.MustParseAddr("fe80::1%eth0"), Helo: "app1", Protocol: "ESMTPSA", User: "app", Listener: "127.0.0.1:1025", TLS: "TLS 1.3"}},
		Header: queue.Summary{MessageID: "<1@example.com>", From: "Ann <ann@example.com>", Subject: "Grüße \u2028 \x01"},
		Parts:  []queue.Part{{To: to, Lane: "main", State: envelope.Queued}},
	}
}

func putMail(t *testing.T, s *sqlite.Store, body []byte, m queue.Accepted) (id string) {
	t.Helper()
	d, err := s.New(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	return d.ID()
}
