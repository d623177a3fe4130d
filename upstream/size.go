package upstream

import "regexp"

// sizeWords are those of providers and relays for a message that is more than they take: "Message size exceeds
// fixed limit", "The total size of your email must not exceed 30MB", "message too big", "payload too large".
var sizeWords = regexp.MustCompile(`(?i)\b(?:message|mail|e-?mail|payload|request|body|entity|content|attachments?|files?|size)\b[^.;]{0,60}\btoo (?:large|big|long)\b` +
	`|\b(?:size|length|bytes|[kmg]i?b)\b[^.;]{0,60}\b(?:exceed(?:s|ed|ing)?|larger than|over the)\b` +
	`|\b(?:exceed(?:s|ed|ing)?|larger than|over the)\b.{0,60}?\b(?:size|length|bytes|\d+ ?[kmg]i?b)\b`)

// SaysTooLarge reports whether words of a refusal are about the size of the message. That is a limit of the one who
// refuses: another upstream may take it.
func SaysTooLarge(words string) bool { return sizeWords.MatchString(words) }
