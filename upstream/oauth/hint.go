package oauth

import (
	"errors"
	"strings"

	"mailhatch/upstream"
)

// hints are what to do about the words of a refusal: the step of doc/oauth2.md that is missing, and how to take it. The
// first that is found counts. Microsoft's codes:
// https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes and
// https://learn.microsoft.com/en-us/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
var hints = []struct{ words, step, hint string }{
	{"AADSTS7000215", "secret", "client_secret is wrong: it is the secret's value, not its id"},
	{"AADSTS7000222", "secret", "the client secret has expired: make a new one"},
	{"AADSTS700027", "certificate", "certificate_file is not a certificate of the application: upload it there"},
	{"AADSTS700016", "application", "client_id is not an application of this tenant, or nobody has consented yet: grant admin consent"},
	{"AADSTS7000112", "application", "the application is disabled: enable the enterprise application for users to sign in"},
	{"AADSTS7000229", "service principal", "the tenant has no service principal of the application: grant admin consent, which makes one"},
	{"AADSTS90002", "tenant", "tenant is wrong: take the directory's id from its overview"},
	{"AADSTS900023", "tenant", "tenant is wrong: take the directory's id from its overview"},
	{"AADSTS65001", "consent", "nobody has consented: grant admin consent for the application"},
	{"AADSTS65004", "consent", "the person refused: log in again"},
	{"AADSTS90094", "consent", "an administrator must consent: grant admin consent for the application"},
	{"AADSTS501051", "app right", "the application has no right there: add it under API permissions, then grant admin consent"},
	{"AADSTS650053", "app right", "the application asks for a right that does not exist: look at scopes"},
	{"AADSTS650057", "app right", "the application has no right there: add it under API permissions, then grant admin consent"},
	{"AADSTS500011", "scope", "a scope names something that the tenant does not have"},
	{"AADSTS70011", "scope", "a scope is wrong"},
	{"AADSTS1002012", "scope", "a scope is wrong: client_credentials takes scopes that end in /.default"},
	{"AADSTS7000218", "public client", "the application must allow public client flows for the device flow"},
	{"AADSTS70008", "login", "the login is too old: log in again"},
	{"AADSTS700082", "login", "the login was not used for 90 days: log in again"},
	{"AADSTS700084", "login", "the login is too old: log in again"},
	{"AADSTS50173", "login", "the password was changed or sessions were ended: log in again"},
	{"AADSTS50076", "login", "a second factor is asked for: log in again"},
	{"AADSTS50079", "login", "a second factor is to be set up: log in again"},
	{"AADSTS50057", "account", "the account of the mailbox is disabled"},
	{"AADSTS50105", "consent", "the person is not assigned to the application: do so under Users and groups of the enterprise application"},
	{"AADSTS53003", "policy", "a Conditional Access policy forbids it: exempt the application"},
	{"unauthorized_client", "delegation", "the service account lacks domain-wide delegation for this scope: the admin console's API controls grant it"},
	{"Not a valid email", "subject", "subject is not a mailbox of the organisation"},
	{"Invalid JWT", "clock", "the machine's clock is wrong, or the key was deleted"},

	// At the relay, after the token was got.
	{"disabled for the Tenant", "tenant setting", "SMTP AUTH is switched off for the tenant: Set-CASMailbox -SmtpClientAuthenticationDisabled $false switches it on for the mailbox, Set-TransportConfig for all"},
	{"disabled for the Mailbox", "mailbox setting", "SMTP AUTH is switched off for the mailbox: Set-CASMailbox -SmtpClientAuthenticationDisabled $false"},
	{"did not meet the criteria", "policy", "a Conditional Access policy or the security defaults forbid it: exempt the mailbox or the application"},
	{"security defaults", "policy", "the security defaults forbid it: exempt the mailbox or the application"},
	{"5.7.139", "tenant setting", "SMTP AUTH is switched off for the mailbox or the tenant: Set-CASMailbox -SmtpClientAuthenticationDisabled $false"},
	{"5.7.30", "oauth2", "passwords are switched off: use [upstream.NAME.oauth2]"},
	{"5.7.3", "service principal or mailbox permission", "the application may not send as the mailbox: New-ServicePrincipal with the id of the enterprise application, then Add-MailboxPermission"},
	{"5.7.60", "send as", "the mailbox may not send as this From: grant SendAs, or set rewrite_from"},
}

// advised is a failure with what to do about it.
type advised struct {
	error
	step, hint string
}

// Error has the hint too: most readers see nothing else.
func (a *advised) Error() string { return a.error.Error() + " (" + a.hint + ")" }

func (a *advised) Unwrap() error { return a.error }

// Advise adds to a failure what to do about the words of a token endpoint, or of a relay that refuses a token. Where
// nothing better is known than the words it returns err.
func Advise(err error, words string) error {
	for _, h := range hints {
		if contains(words, h.words) {
			return &advised{err, h.step, h.hint}
		}
	}
	return err
}

// contains finds a code that is not the beginning of a longer one.
func contains(words, code string) bool {
	for {
		_, after, found := strings.Cut(words, code)
		if !found {
			return false
		}
		if after == "" || after[0] < '0' || after[0] > '9' {
			return true
		}
		words = after
	}
}

// Finding reports a login that failed, with the step that is missing where Advise knew it.
func Finding(name string, err error) upstream.Finding {
	f := upstream.Finding{Name: name, Level: upstream.Fail, Text: err.Error()}
	var a *advised
	if !errors.As(err, &a) {
		return f
	}
	f.Text = a.error.Error()
	if e, ok := errors.AsType[*upstream.Error](err); ok {
		plain := *e
		plain.Err = a.error
		f.Text = plain.Error()
	}
	f.Hint = a.hint
	if a.step != "" {
		f.Hint = a.step + ": " + a.hint
	}
	return f
}

// oneLine takes line ends and controls out of foreign words.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))), " ")
}
