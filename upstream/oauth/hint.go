package oauth

import "strings"

// hints are what to do about the words of a refusal. Microsoft's codes:
// https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes and
// https://learn.microsoft.com/en-us/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
var hints = []struct{ words, hint string }{
	{"AADSTS7000215", "client_secret is wrong: it is the secret's value, not its id"},
	{"AADSTS7000222", "the client secret has expired: make a new one"},
	{"AADSTS700027", "certificate_file is not a certificate of the application: upload it there"},
	{"AADSTS700016", "client_id is not an application of this tenant, or nobody has consented yet: grant admin consent"},
	{"AADSTS90002", "tenant is wrong: take the directory's id from its overview"},
	{"AADSTS900023", "tenant is wrong: take the directory's id from its overview"},
	{"AADSTS65001", "nobody has consented: grant admin consent for the application"},
	{"AADSTS70011", "a scope is wrong"},
	{"AADSTS1002012", "a scope is wrong: client_credentials takes scopes that end in /.default"},
	{"AADSTS7000218", "the application must allow public client flows for the device flow"},
	{"AADSTS70008", "the login is too old: log in again"},
	{"AADSTS700082", "the login was not used for 90 days: log in again"},
	{"AADSTS50173", "the password was changed or sessions were ended: log in again"},
	{"AADSTS50076", "a second factor is asked for: log in again"},
	{"AADSTS53003", "a Conditional Access policy forbids it: exempt the application"},
	{"unauthorized_client", "the service account lacks domain-wide delegation for this scope: the admin console's API controls grant it"},
	{"Not a valid email", "subject is not a mailbox of the organisation"},
	{"Invalid JWT", "the machine's clock is wrong, or the key was deleted"},

	// At the relay, after the token was got.
	{"5.7.139", "SMTP AUTH is switched off for the mailbox or the tenant: Set-CASMailbox -SmtpClientAuthenticationDisabled $false"},
	{"5.7.30", "passwords are switched off: use [upstream.NAME.oauth2]"},
	{"5.7.3", "the application may not send as the mailbox: New-ServicePrincipal with the id of the enterprise application, then Add-MailboxPermission"},
	{"5.7.60", "the mailbox may not send as this From: grant SendAs, or set rewrite_from"},
}

// Hint returns what to do about the words of a token endpoint, or of a relay that refuses a token; "" where nothing
// better is known than the words.
func Hint(words string) string {
	for _, h := range hints {
		if strings.Contains(words, h.words) {
			return h.hint
		}
	}
	return ""
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
