package api

import "mailhatch/upstream"

// JSONChanges lists what all APIs that take text and files separately change in every message.
func JSONChanges() []string {
	return []string{
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
}

// KeyQuestion asks for api_key; env is the environment variable that has it by default.
func KeyQuestion(env string) upstream.Question {
	return upstream.Question{Key: "api_key", Text: "API key (not shown), or where it is kept: env:NAME, file:/path", Secret: true, Flag: "api-key",
		Default: func(map[string]string) string { return "env:" + env }}
}

// RegionQuestion asks for region, the first being the default.
func RegionQuestion(regions ...string) upstream.Question {
	return upstream.Question{Key: "region", Text: "Which region?", Words: regions, Optional: true, Flag: "region", Usage: "`region` of the provider's API"}
}
