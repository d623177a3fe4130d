package upstream

// natureJSON is what all APIs that take text and files apart change.
var natureJSON = []string{
	"the MIME structure is built anew: one text, one HTML, files; boundaries, charsets and transfer encodings are the provider's",
	"the envelope sender is the provider's: bounces go there, not to MAIL FROM",
	"To and Cc show only those who get the mail in the same request; addresses that stand in the header alone are not shown",
	"recipients beyond To and Cc travel as Bcc; without anyone for To, and beyond one request's limit, each gets a mail of their own",
	"Message-ID and Date are the provider's; the old ones stand in X-Original-Message-ID and X-Original-Date",
	"a header field that occurs several times becomes one: values joined with a comma, or the first where only one makes sense",
	"trace fields and signatures (Received, DKIM-Signature, ARC-*, Authentication-Results) are left out; the provider writes its own",
	"of several From addresses one is left (Sender, or the first that the API takes); replies still go to all",
	"a From without any address becomes the name, with the envelope sender's address; one whose domain has no dot is not carried",
	"an empty subject or body becomes one space",
}

// natureByKind is what each API changes, whatever the message. The README prints it.
var natureByKind = map[string][]string{
	"resend": append(natureJSON[:len(natureJSON):len(natureJSON)],
		"a calendar alternative becomes an .ics file, an AMP alternative a file",
		"a file whose name and type do not agree is sent as application/octet-stream, or gets an extension where it has none",
		"link and open tracking are settings of the domain at Resend and cannot be switched off here"),
	"sendgrid": append(natureJSON[:len(natureJSON):len(natureJSON)],
		"the names of recipients lose ; and ,",
		"files lose the parameters of their type (charset, method); an empty file gets one line end",
		"calendar and AMP alternatives stay alternatives",
		"tracking is switched off; suppressed recipients are dropped after SendGrid took the mail"),
	"mailgun": {
		"the message travels as it is; Bcc, Return-Path and providers' control headers are taken out",
		"the envelope sender is Mailgun's: bounces go there, not to MAIL FROM",
		"Mailgun adds Received, DKIM-Signature, X-Mailgun-* and Sender fields; a missing Message-ID is filled in from the queue id",
		"header lines that are no fields get their indent back or become Comments; a From without any address gets the envelope sender's",
		"tracking is switched off",
	},
}

// NatureChanges lists in words what an API changes in every mail, however well it is translated;
// nil for kinds that change nothing but trace fields.
func NatureChanges(kind string) []string { return natureByKind[kind] }
