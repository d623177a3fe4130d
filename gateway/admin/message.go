package admin

import (
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/queue"
)

// NewMessage shows a message of the queue.
func NewMessage(m *queue.Message, v *waiting.View) api.Message {
	out := api.Message{ID: m.ID, Size: m.Size, Header: m.Header, Envelope: m.Envelope, Parts: make([]api.Part, len(m.Parts))}
	for i := range m.Parts {
		why := v.Of(m, &m.Parts[i])
		out.Parts[i] = newPart(&m.Parts[i])
		out.Parts[i].Why, out.Parts[i].WhyCode, out.Parts[i].Expect = why.Words, why.Code, why.At
	}
	return out
}

func newPart(p *queue.Part) api.Part {
	return api.Part{State: p.State, Upstream: p.Lane, NextAt: p.NextAt, To: p.To, Progress: p.Progress}
}
