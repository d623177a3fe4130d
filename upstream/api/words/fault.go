// Package words reads what providers write in their refusals: that the account is at fault where the status would
// blame the mail, and when to come back.
package words

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"mailhatch/upstream"
)

// Fault is what a refusal is about when it is not about the mail.
type Fault struct {
	Class  upstream.Class // Account or Throttled
	Wait   time.Duration  // at least
	Sender bool           // as in upstream.Error
}

// faults are the words of providers' documented refusals for the sake of a key, an account or a limit. The first row
// that holds decides. One with says holds where both stand in one sentence, in any order, and the message is not about
// a recipient or a part of the mail; one without holds wherever the words stand.
var faults = compile([]row{
	// Limits in time; those of a message are the mail's own.
	{about: `too many (?:requests|connections)|maximum credits exceeded|(?:rate|sending|request) limit (?:exceeded|reached|hit)`, fault: throttled},
	{about: `daily|24[ -]hour|per[ -]day|monthly|per[ -]month`, says: `limit|quota|maximum`, also: used, fault: usedUp},
	{about: `hourly|per[ -](?:second|sec|minute|min|hour)|(?:sending|send|account|plan|sends?|credits?)`, says: `limit|quota`, also: used, fault: throttled},
	{about: `quota|(?:sending )?rate`, says: used, fault: throttled}, // SES: Maximum sending rate exceeded
	// The key. Resend: API key is invalid. SendGrid: The provided authorization grant is invalid, expired, or revoked.
	// Postmark: Bad or missing API token. Postal: The API token … was not valid. SES: The security token … is invalid.
	{about: `api[ -]?(?:key|token)s?|(?:access|server|security|auth|account) token|private key|smtp key|credentials`,
		says: `invalid|not (?:valid|found|active|activated|enabled|allowed)|missing|expired|revoked|disabled|inactive|suspended|unknown|wrong|bad|incorrect|restricted|blocked`, fault: account},
	{about: `(?:the|this|your|access) (?:key|token)`, says: `invalid|not (?:valid|found|authorized|allowed)|expired|revoked|disabled`, fault: account},
	{about: `authorization grant is invalid|authentication (?:failed|error|(?:is )?required)|signature we calculated does not match`, fault: account},
	{about: `insufficient (?:permission|privilege|scope|right)s?|(?:is )?not authorized to (?:perform|send|access|use)`, fault: account},
	// Where we come from. Brevo: We have detected you are using an unrecognised IP address.
	{about: `ip(?: address(?:es)?)?`, says: `unrecogni[sz]ed|unauthori[sz]ed|not (?:white-?listed|allow-?listed|allowed|authori[sz]ed|permitted)|blocked`, fault: account},
	// The account. Postmark: While your account is pending approval, all recipient addresses must share …
	{about: `account is pending approval`, fault: account},
	{about: `(?:sub)?accounts?|subuser|organi[sz]ation|workspace|team`, says: `suspen(?:ded|sion)|disabled|deactivated|inactive|blocked|locked|frozen|closed|terminated|banned|` +
		`under (?:review|validation|verification|investigation)|pending|on hold|unverified|paused|not (?:been |yet |currently )*(?:active|activated|enabled|verified|validated|approved|confirmed)`, fault: account},
	{about: `sending (?:is |has been |was )?(?:currently |temporarily )?(?:paused|disabled|suspended|blocked)`, fault: account},
	// Activation. Mailgun: Please activate your Mailgun account. Brevo: Your SMTP account is not yet activated.
	{about: `activate your|activation (?:e-?mail|link|is required|required)|(?:verify|confirm|validate|complete) your (?:account|profile|identity|business|phone)|business verification`, fault: account},
	// The plan and the bill. Mailgun: Free accounts are for test purposes only.
	{about: `free (?:account|plan|tier)s?|trial (?:has )?(?:expired|ended)|upgrade your (?:account|plan|subscription)|please upgrade`, fault: account},
	{about: `your (?:current )?(?:plan|subscription|package)`, says: `not|only|limit(?:ed|s)?|expired|ended|cancell?ed|exceed(?:s|ed)?`, fault: account},
	{about: `payment|invoice|billing|credit card`, says: `required|failed|overdue|past due|missing|declined|unpaid|outstanding`, fault: account},
	{about: `(?:insufficient|not enough) (?:credit|balance|fund)s?|out of credits`, fault: account},
	// The sandbox. Mailgun: Sandbox subdomains are for test purposes only. Resend: You can only send testing emails to your own address.
	{about: `for test(?:ing)? purposes only|sandbox (?:sub)?domains?|sandbox (?:mode|account)|only send test(?:ing)? e-?mails|in the sandbox`, fault: account},
	// The sender. SendGrid: The from address does not match a verified Sender Identity. SparkPost: Unconfigured Sending Domain.
	// Postmark: The 'From' address you supplied is not a Sender Signature on your account.
	{about: `verified sender identity|sender signature|unconfigured sending domain|(?:authenticate|verify) (?:a|your) (?:sending )?domain|validate your sender`, fault: sender},
	{about: `domains?|senders?|(?:from|e-?mail) address|from domain|identit(?:y|ies)`, says: `unverified|unauthenticated|(?:not|must be) (?:been |yet |a )?(?:verified|authenticated|registered)`, fault: sender},
	{about: `domain`, says: `not (?:allowed|authorized) to send|disabled|suspended`, fault: account},
})

const used = `exceed(?:s|ed|ing)?|reached|exhausted|used up|hit`

var (
	account   = Fault{Class: upstream.Account}
	sender    = Fault{Class: upstream.Account, Sender: true}
	throttled = Fault{Class: upstream.Throttled}
	usedUp    = Fault{Class: upstream.Throttled, Wait: time.Hour}
)

type row struct {
	about, says, also string // regular expressions of whole words; "" always holds
	fault             Fault
}

type phrase struct {
	words []*regexp.Regexp
	fault Fault
}

func compile(rows []row) (list []phrase) {
	for _, r := range rows {
		p := phrase{fault: r.fault}
		for _, s := range []string{r.about, r.says, r.also} {
			if s != "" {
				p.words = append(p.words, regexp.MustCompile(`\b(?:`+s+`)\b`))
			}
		}
		list = append(list, p)
	}
	return list
}

// foreign are names, addresses and quotations: a mail can have a hand in them.
var foreign = regexp.MustCompile(`"[^"]*"|\[[^\]]*\]|<[^>]*>|\S*(?:@|\.\w)\S*`)

// parts are what a refusal of the mail itself is about.
var parts = regexp.MustCompile("\\b(?:recipients?|recipient's|mailbox(?:es)?|addressee|to (?:address(?:es)?|field|parameter)|subject|attachments?|headers|header (?:field|name|value)s?|categor(?:y|ies)|" +
	"tags?|custom[_ ]args?|variables?|templates?|content|body|file(?:name)?s?|personalizations?|b?cc|idempotency|urls?|links?)\\b|['`]to['`]")

var sentenceEnd = regexp.MustCompile(`[.;!?\n]`)

const looked = 2000 // bytes of a message; what providers say first is what it is about

// Meaning returns what a provider's message is about when it is not about the mail; ok is false where that is not sure.
func Meaning(message string) (f Fault, ok bool) {
	message = strings.ToLower(message[:min(len(message), looked)])
	if _, named := Wait(message, time.Time{}); named {
		return throttled, true
	}
	message = foreign.ReplaceAllString(message, "x")
	ofMail := parts.MatchString(message)
	sentences := sentenceEnd.Split(message, -1)
	for _, p := range faults {
		if (len(p.words) == 1 || !ofMail) && slices.ContainsFunc(sentences, p.in) {
			return p.fault, true
		}
	}
	return f, false
}

func (p phrase) in(sentence string) bool {
	return !slices.ContainsFunc(p.words, func(w *regexp.Regexp) bool { return !w.MatchString(sentence) })
}
