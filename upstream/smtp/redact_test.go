package smtp

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/smtp/reply"
	"mailhatch/upstream/upstreamtest"
)

// TestSMTPEchoedPassword: a relay that repeats what AUTH showed it, at any point, and long enough to be cut, is quoted
// without it.
func TestSMTPEchoedPassword(t *testing.T) {
	password := upstreamtest.EchoedSecret
	blob := base64.StdEncoding.EncodeToString([]byte("\x00u\x00" + password))
	for _, stage := range []smtpStage{upstreamtest.SMTPGreeting, upstreamtest.SMTPEhlo, upstreamtest.SMTPAuth, upstreamtest.SMTPMail, upstreamtest.SMTPRcpt,
		upstreamtest.SMTPData, upstreamtest.SMTPBody, upstreamtest.SMTPDot} {
		for _, echo := range []string{password, blob, password[:9] + "\n550 " + password[9:], strings.Repeat("x", 2000-20) + " " + password, strings.Repeat("x", reply.MaxText-20) + " " + blob} {
			for _, code := range []string{"550-", "451-", "HTTP "} {
				if code == "HTTP " && strings.Contains(echo, "\n") {
					continue // only the first line is quoted
				}
				words := code + strings.ReplaceAll(echo, "\n550 ", "\n"+code) + "\n" + strings.Replace(code, "-", " ", 1) + "end"
				relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Users: map[string]string{"u": password}, React: react(stage, "", replyWith(words))})
				u := openSMTP(t, relay, func(s *settings) { s.Username, s.Password = "u", upstream.NewSecret(password) })
				out := u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x"))
				if out[0].Err == nil && stage != upstreamtest.SMTPBody {
					t.Errorf("%s: no error", stage)
				} else if out[0].Err != nil {
					upstreamtest.CheckRedacted(t, out[0].Err.Error())
				}
			}
		}
	}
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Users: map[string]string{"u": password}, React: react(upstreamtest.SMTPDot, "", replyWith("250 queued as "+password))})
	u := openSMTP(t, relay, func(s *settings) { s.Username, s.Password = "u", upstream.NewSecret(password) })
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), "ok ***")
}
