package words

import (
	"time"

	"mailhatch/upstream"
)

var (
	account   = Fault{Class: upstream.Account}
	sender    = Fault{Class: upstream.Account, Sender: true}
	throttled = Fault{Class: upstream.Throttled}
	usedUp    = Fault{Class: upstream.Throttled, Wait: time.Hour}
)

// row is one way to blame the account. All of it stands in one sentence, in any order; "" always holds.
type row struct {
	about, says, also string // regular expressions of whole words
	fault             Fault
}

// What rows share.
const (
	used    = `exceed(?:s|ed|ing)?|reached|exhausted|used up|hit`
	limit   = `(?:limit|quota|maximum|allowance)s?`
	counted = `(?:(?:recipient|message|e-?mail|mail|sending|send|external|rate|request|api|plan|account|credit)s? ){0,3}`
	ours    = `your (?:[\w-]+ ){0,2}?`
	is      = `(?:(?:is|are|was|were|being|(?:has|have)(?: \w+)? been|currently|temporarily|permanently|still|now|already) )*`

	// refused is said of a key.
	refused = `invalid|unauthori[sz]ed|(?:has )?not (?:been )?(?:valid|found|active|activated|enabled|allowed|authori[sz]ed)|does not (?:exist|have)|` +
		`missing|(?:has )?expired|revoked|deleted|disabled|inactive|suspended|unknown|wrong|incorrect`
	// stopped is said of an account.
	stopped = `suspended|disabled|deactivated|inactive|blocked|locked|frozen|closed|terminated|banned|paused|unverified|on hold|` +
		`(?:placed |put )?(?:under|in) (?:review|validation|verification|investigation)|being reviewed|(?:needs|has|must)(?: to)? (?:be )?(?:activation|activated|verified|validated|approved)|` +
		`(?:has )?not (?:been |yet |currently )*(?:active|activated|enabled|verified|validated|approved|confirmed)`
	// unproven is said of a domain or a sender.
	unproven = `unverified|unauthenticated|pending (?:verification|approval)|verification (?:is )?(?:pending|required|failed)|(?:must|has to|needs to) be (?:verified|authenticated|registered)|` +
		`(?:has )?not (?:been |yet |a )*(?:verified|authenticated|registered|authori[sz]ed|activated|approved|configured)`
)

// certain are words of the account whatever else a message is about: they name what only a customer has.
var certain = []row{
	// Limits in time. SendGrid: Maximum credits exceeded. Brevo: You have reached your daily email sending limit.
	{about: `too many (?:requests|connections)|maximum credits exceeded|(?:rate|sending|request) limit (?:exceeded|reached|hit)`, fault: throttled},
	{about: `(?:daily|24[ -]hour|weekly|monthly) ` + counted + limit + `|` + limit + ` (?:of |is )?\d+ \w+ (?:per|a|in a|each) (?:day|week|month)`, says: used, fault: usedUp},
	{about: `hourly ` + counted + limit + `|` + limit + ` (?:of |is )?\d+ \w+ (?:per|an?|in an?|each) (?:second|minute|hour)`, says: used, fault: throttled},
	{about: `(?:limited to|at most|no more than) \d+ \w+ (?:per|a|in a|each) (?:day|week|month)`, fault: usedUp},
	// The account, its key and its domains. Resend: API key is invalid. Postmark: While your account is pending approval …
	{about: ours + `(?:(?:sub)?accounts?|subuser|organi[sz]ation|workspace|team|tenant|project|service|server|access|subscription|profile) ` + is + `(?:` + stopped + `)`, fault: account},
	{about: `(?:suspended|disabled|deactivated|closed|terminated|paused|locked) ` + ours + `account|you ` + is + `(?:suspended|banned)|account is pending approval`, fault: account},
	{about: `sending (?:is |has been |was )?(?:currently |temporarily )?(?:paused|disabled|suspended|blocked|restricted)`, fault: account},
	{about: `(?:api|smtp|server|access|auth)[ _-]?(?:keys?|token) ` + is + `(?:` + refused + `)|(?:invalid|missing|revoked|expired|unknown|wrong|incorrect) api[ _-]?(?:key|token)`, fault: account},
	{about: `authorization grant is invalid|authentication (?:failed|error|(?:is )?required)|signature we calculated does not match`, fault: account},
	{about: `insufficient (?:permission|privilege|scope|right)s?|(?:is )?not authorized to (?:perform|access|use)`, fault: account},
	{about: `(?:` + ours + `|sending |sender |from )domain (?:x )?` + is + `(?:suspended|disabled|blocked)`, fault: account},
	{about: `(?:` + ours + `|sending |sender |from )domain (?:x )?` + is + `(?:` + unproven + `|not (?:allowed|permitted))`, fault: sender},
	// Activation. Mailgun: Please activate your Mailgun account, … Domain x is not allowed to send: business verification.
	{about: `activate your|activation (?:e-?mail|link|is required|required)|(?:verify|confirm|validate|complete) your (?:account|profile|identity|business|phone)|business verification`, fault: account},
	// The plan and the bill. Mailgun: Free accounts are for test purposes only.
	{about: `(?:free|trial) (?:account|plan|tier)s?|trial (?:has )?(?:expired|ended)|upgrade required|upgrade your (?:account|plan|subscription)|please upgrade`, fault: account},
	{about: `payment method|update your (?:payment|billing)`, fault: account},
	{about: `(?:insufficient|not (?:have )?enough|no(?: more)?|(?:out|short) of) (?:e-?mail |sending )?(?:credit|balance|fund)s?`, fault: account},
	// The sandbox. Mailgun: Sandbox subdomains are for test purposes only. Resend: You can only send testing emails to …
	{about: `for test(?:ing)? purposes only|sandbox (?:(?:sub)?domains?|mode|accounts?)|only send test(?:ing)? e-?mails`, fault: account},
	{about: `(?:is|are|still|while|when) in (?:(?:the|a) )?sandbox|(?:your|to the|leave the) sandbox|sandbox (?:can|cannot|may|is limited)`, fault: account},
	// The sender. SendGrid: The from address does not match a verified Sender Identity. SparkPost: Unconfigured Sending
	// Domain. Postmark: The 'From' address you supplied is not a Sender Signature on your account.
	{about: `verified sender identity|sender signature|unconfigured sending domain|(?:authenticate|verify) (?:a|your) (?:sending )?domain|validate your sender|only send from|send only from`, fault: sender},
	// SendGrid: You are not authorized to send from that email address.
	{about: `not (?:authori[sz]ed|allowed|permitted) to send (?:(?:e-?mails?|mail|messages) )?(?:from|as|on behalf)`, fault: sender},
}

// likely are words of the account where a message is not about a recipient or a part of the mail, which have accounts,
// domains, keys and limits of their own.
var likely = []row{
	// Limits in time. SES: Maximum sending rate exceeded. Postmark, of an account: Daily message quota exceeded.
	{about: `daily|24[ -]hour|per[ -]day|weekly|per[ -]week|monthly|per[ -]month`, says: `max|cap|` + limit, also: used, fault: usedUp},
	{about: `today`, says: `too many|max|` + limit, fault: usedUp},
	{about: `hourly|per[ -](?:second|sec|minute|min|hour)|your|sending|sends?|account|plan|credits?`, says: `limits?|quotas?`, also: used, fault: throttled},
	{about: `slow down|throttled|(?:over|beyond) (?:(?:the|your) )?(?:daily )?` + counted + limit + `|(?:^\W*|(?:e-?mail|message)s? )limit ` + is + `(?:` + used + `)`, fault: throttled},
	{about: `quota|(?:sending )?rate`, says: used, fault: throttled},
	// The key and where we come from. Postmark: Bad or missing API token. Postal: The API token … was not valid.
	// SES: The security token … is invalid. Brevo: We have detected you are using an unrecognised IP address.
	{about: `api[ _-]?(?:key|token)s?|(?:access|server|security|auth|account) token|private key|smtp key|credentials`, says: refused + `|bad|restricted|blocked`, fault: account},
	{about: `(?:the|this|your|access) (?:key|token)`, says: `invalid|not (?:valid|found|authorized|allowed)|expired|revoked|disabled|access denied`, fault: account},
	{about: `^\W*(?:(?:invalid|expired|unknown|missing) (?:key|token)|(?:key|token) ` + is + `(?:` + refused + `))`, fault: account},
	{about: `do(?:es)? not have (?:the )?(?:permission|privilege|right)s?|not (?:authori[sz]ed|allowed|permitted) to send|(?:cannot|may not|unable to) send (?:e-?mail|mail|messages)`, fault: account},
	{about: `ip(?: address(?:es)?)?`, says: `unrecogni[sz]ed|unauthori[sz]ed|not (?:white-?listed|allow-?listed|allowed|authori[sz]ed|permitted)|blocked`, fault: account},
	// The account. Brevo: Your SMTP account is not yet activated. Mailgun: Domain mg.example.com is disabled.
	{about: `(?:sub)?accounts?|subuser|organi[sz]ation|workspace|team|project|subscription`,
		says: stopped + `|suspension|pending|restricted|flagged|incomplete|not (?:been |yet |currently )*(?:allowed|permitted|authori[sz]ed)`, fault: account},
	{about: `(?:service|access|sending (?:privilege|permission|right)s?) ` + is + `(?:suspended|disabled|revoked|blocked|paused)`, fault: account},
	{about: `(?:verify|confirm|validate) your e-?mail(?: address)?`, fault: account},
	// The plan, the bill and the sandbox. SparkPost, at 420: Exceed Sending Limit (sandbox).
	{about: `(?:your|the|this) (?:current )?(?:plan|subscription|package)`, says: `not|only|limit(?:ed|s)?|expired|ended|cancell?ed|exceed(?:s|ed)?`, fault: account},
	{about: `payment|invoice|billing|credit card`, says: `required|failed|overdue|past due|missing|declined|unpaid|outstanding`, fault: account},
	{about: `credits?|balance`, says: `exhausted|used up|expired|too low|depleted|remaining|left`, fault: account},
	{about: `sandbox`, says: `limit(?:ed|s)?|only|restricted|allowed|^\W*sandbox`, fault: account},
	// The sender. Resend: The example.com domain is not verified. SES: Email address is not verified.
	{about: `domains?|senders?|(?:from|e-?mail) address|identit(?:y|ies)`, says: unproven, fault: sender},
	{about: `senders?|sender address|from (?:this |your )?domain`, says: `not (?:allowed|permitted)`, fault: sender},
	{about: `from (?:e-?mail )?address`, says: `not (?:allowed|permitted)(?: to send|$)`, fault: sender},
	{about: `domain`, says: `not (?:allowed|authorized) to send|disabled|suspended`, fault: account},
}
