// Package kinds is the table of the built-in kinds of upstreams.
package kinds

import (
	"mailhatch/upstream"
	"mailhatch/upstream/brevo"
	"mailhatch/upstream/cloudflare"
	"mailhatch/upstream/gmail"
	"mailhatch/upstream/graph"
	"mailhatch/upstream/jmap"
	"mailhatch/upstream/local"
	"mailhatch/upstream/mailgun"
	"mailhatch/upstream/mandrill"
	"mailhatch/upstream/postal"
	"mailhatch/upstream/postmark"
	"mailhatch/upstream/resend"
	"mailhatch/upstream/sendgrid"
	"mailhatch/upstream/ses"
	"mailhatch/upstream/smtp"
	"mailhatch/upstream/sparkpost"
)

// Kinds returns a fresh table of the built-in kinds. Programs of others may append their own.
func Kinds() []upstream.Kind {
	return []upstream.Kind{
		resend.Kind(),
		sendgrid.Kind(),
		mailgun.Kind(),
		ses.Kind(),
		postal.Kind(),
		postmark.Kind(),
		cloudflare.Kind(),
		sparkpost.Kind(),
		mandrill.Kind(),
		brevo.Kind(),
		graph.Kind(),
		gmail.Kind(),
		jmap.Kind(),
		smtp.Kind(),
		local.ConsoleKind(),
		local.MemoryKind(),
		local.FileKind(),
	}
}
