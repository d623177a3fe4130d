package feedback

import (
	"context"
	"net/http"

	"mailhatch/gateway/feedback/webhook"
)

// Receive takes in a webhook request of an upstream's provider. When it returns nil, all that the request brings is on
// stable storage. The error is as webhook.Config.Take has it.
func (f *Follower) Receive(ctx context.Context, name string, h http.Header, body []byte) error {
	s, ok := f.source(name)
	if !ok || !s.Feedback.Listening().Webhook {
		return webhook.ErrUnknown
	}
	b, err := s.Feedback.Receive(ctx, h, body)
	if err != nil {
		return err
	}
	_, err = f.take(ctx, name, &b)
	return err
}
