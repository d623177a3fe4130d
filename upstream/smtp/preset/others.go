package preset

// others are services that are reached by SMTP alone.
func others() []Preset {
	return []Preset{
		{
			Name: "mailjet", Service: "Mailjet", Host: "in-v3.mailjet.com", Port: 587, TLS: "starttls",
			Doc: "https://dev.mailjet.com/smtp-relay/configuration/", Login: "username is the API key; the password is the secret key",
			Changes: []string{envelopeTheirs, verifiedFrom},
		},
		{
			Name: "mailersend", Service: "MailerSend", Host: "smtp.mailersend.net", Port: 587, TLS: "starttls",
			Doc: "https://developers.mailersend.com/smtp-relay.html", Login: "an SMTP user of the sending domain",
			Changes: []string{envelopeTheirs, verifiedFrom},
			Notes:   []string{"mail that it cannot parse is refused temporarily (450), so it waits until max_age"},
		},
		{
			Name: "mailtrap", Service: "Mailtrap Email Sending", Host: "live.smtp.mailtrap.io", Port: 587, TLS: "starttls", Username: "api",
			Doc: "https://docs.mailtrap.io/email-api-smtp/setup/smtp-integration", Login: "the password is an API token of the sending domain",
			Bytes: 10 << 20, Concurrent: 10, // https://help.mailtrap.io/article/100-sending-limits
			Changes: []string{envelopeTheirs, verifiedFrom},
		},
		{
			Name: "smtp2go", Service: "SMTP2GO", Host: "mail.smtp2go.com", Port: 587, TLS: "starttls",
			Doc: "https://developers.smtp2go.com/docs/smtp-relay", Login: "an SMTP user of the account",
			Changes: []string{envelopeTheirs, verifiedFrom}, Notes: []string{"use port 2525 if 587 is blocked; mail-eu, mail-us and mail-au.smtp2go.com are regional hosts"},
		},
		{
			Name: "scaleway", Service: "Scaleway Transactional Email", Host: "smtp.tem.scaleway.com", Port: 587, TLS: "starttls",
			Doc: "https://www.scaleway.com/en/docs/transactional-email/reference-content/smtp-configuration/", Login: "username is the project's id; the password is an API secret key",
			Changes: []string{envelopeTheirs, verifiedFrom},
		},
		{
			Name: "azure-acs", Service: "Azure Communication Services Email", Aka: "acs", Host: "smtp.azurecomm.net", Port: 587, TLS: "starttls",
			Doc:   "https://learn.microsoft.com/en-us/azure/communication-services/quickstarts/email/send-email-smtp/send-email-smtp",
			Login: "an SMTP username of the resource; the password is the secret of its Entra application",
			Bytes: 10 << 20, Recipients: 50, Changes: []string{envelopeTheirs, verifiedFrom},
			Notes: []string{"30 mails a minute and 100 an hour until a higher limit is granted"},
		},
		{
			Name: "zeptomail", Service: "Zoho ZeptoMail", Aka: "zoho-mail", Host: "smtp.zeptomail.com", Port: 587, TLS: "starttls", Username: "emailapikey",
			Doc: "https://www.zoho.com/zeptomail/help/smtp-home.html", Login: "the password is a Send Mail token",
			Bytes: 15 << 20, Changes: []string{envelopeTheirs, verifiedFrom},
			Notes: []string{"accounts in other data centers have other hosts, such as smtp.zeptomail.eu"},
		},
		{
			Name: "elastic-email", Service: "Elastic Email", Host: "smtp.elasticemail.com", Port: 587, TLS: "starttls",
			Doc: "https://help.elasticemail.com/en/articles/4803409-smtp-settings", Login: "an SMTP credential of the account",
			Changes: []string{envelopeTheirs, verifiedFrom},
		},
		{
			Name: "ahasend", Service: "AhaSend", Host: "send.ahasend.com", Port: 587, TLS: "starttls",
			Doc: "https://ahasend.com/docs/smtp", Login: "an SMTP credential of the account",
			Bytes: 20 << 20, Recipients: 50, Changes: []string{envelopeTheirs, verifiedFrom},
			Notes: []string{"send-us.ahasend.com is in the US"},
		},
		{
			Name: "emailit", Service: "Emailit", Host: "smtp.emailit.com", Port: 587, TLS: "starttls", Username: "emailit",
			Doc: "https://emailit.com/docs/smtp/settings/", Login: "the password is an API key of the workspace",
			NewID:   true, // https://emailit.com/docs/smtp/headers/
			Changes: []string{"Date is replaced", envelopeTheirs, verifiedFrom, "each recipient gets a separate mail"},
		},
		{
			Name: "lettermint", Service: "Lettermint", Host: "smtp.lettermint.co", Port: 587, TLS: "starttls", Username: "lettermint",
			Doc: "https://docs.lettermint.co/guides/send-email-with-smtp", Login: "the password is the project's API token",
			Changes: []string{envelopeTheirs, verifiedFrom},
		},
	}
}
