package page

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mailhatch/gateway/admin/find"
	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/envelope"
)

// exported is a recipient of a message that was found.
type exported struct {
	ID         string         `json:"id"`
	At         time.Time      `json:"at"`
	State      envelope.State `json:"state"`
	From       string         `json:"from"`
	To         string         `json:"to"`
	Subject    string         `json:"subject"`
	Upstream   string         `json:"upstream"`
	ProviderID string         `json:"provider_id,omitempty"`
	Attempts   int            `json:"attempts"`
	Error      string         `json:"error,omitempty"`
}

const (
	maxExport  = 100_000 // messages of one file
	exportStep = 500
)

// export is what a search finds, as a file.
func (p *Page) export(v *view) error {
	line, err := search.Parse(v.r.URL.Query().Get("q"), v.now)
	if err != nil {
		return badForm("This search is not understood.", err.Error())
	}
	name, kind, write, flush := "mail.csv", "text/csv; charset=utf-8", (func(*exported) error)(nil), func() {}
	if v.r.URL.Query().Get("format") == "json" {
		name, kind, write = "mail.jsonl", "application/jsonl", func(e *exported) error { return json.NewEncoder(v.w).Encode(e) }
	} else {
		table := csv.NewWriter(v.w)
		write = func(e *exported) error {
			return table.Write([]string{e.ID, e.At.UTC().Format(time.RFC3339), string(e.State), cell(e.From), cell(e.To), cell(e.Subject), e.Upstream, cell(e.ProviderID), strconv.Itoa(e.Attempts), cell(e.Error)})
		}
		flush = table.Flush
		_ = table.Write([]string{"id", "at", "state", "from", "to", "subject", "upstream", "provider_id", "attempts", "error"}) // flush shows what is wrong
	}
	found, err := find.Messages(v.ctx, p.cfg.Gateway, line, "", exportStep)
	if err != nil {
		return err
	}
	v.asFile(name, kind)
	for n := exportStep; ; n += exportStep {
		for i := range found.Messages {
			if err := each(&found.Messages[i], write); err != nil {
				return nil // the browser is gone
			}
		}
		if found.Next == "" || n >= maxExport {
			flush()
			return nil
		}
		if found, err = find.Messages(v.ctx, p.cfg.Gateway, line, found.Next, exportStep); err != nil {
			panic(http.ErrAbortHandler) // what has been sent is not all: the browser must see that
		}
	}
}

// each calls write for each recipient of a message.
func each(m *find.Message, write func(*exported) error) error {
	if w := m.Waiting; w != nil {
		for i := range w.Parts {
			part := &w.Parts[i]
			for _, to := range part.To {
				if err := write(&exported{m.ID, m.At, part.State, w.Envelope.From, to.Address, w.Header.Subject, part.Lane, "", part.Progress.Attempts, part.Progress.Error}); err != nil {
					return err
				}
			}
		}
	}
	for i := range m.Records {
		r := &m.Records[i]
		if err := write(&exported{m.ID, r.At, r.State, r.From, r.Recipient.Address, r.Header.Subject, r.Upstream, r.ProviderID, r.Attempts, r.Error}); err != nil {
			return err
		}
	}
	return nil
}

// cell keeps a text from being a formula of a spreadsheet.
func cell(s string) string {
	if strings.HasPrefix(s, "=") || strings.HasPrefix(s, "+") || strings.HasPrefix(s, "-") || strings.HasPrefix(s, "@") {
		return "'" + s
	}
	return s
}
