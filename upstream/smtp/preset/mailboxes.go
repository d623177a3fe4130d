package preset

// What the mailbox providers do that others do not.
const (
	sentCopy   = "a copy is kept in the mailbox's sent mail"
	ownSender  = "From must be the mailbox, or an address that it may send as"
	appPass    = "an app password of the account, since its own password is refused"
	mailboxFor = "intended for personal mail; a busy program soon reaches its limits"
)

// mailboxes are services whose submission is for a mailbox.
func mailboxes() []Preset {
	return []Preset{
		{
			Name: "microsoft365", Service: "Microsoft 365 (Exchange Online)", Aka: "office365 o365 m365 outlook exchange-online", Host: "smtp.office365.com", Port: 587, TLS: "starttls", Auth: "xoauth2", OAuth2: "microsoft",
			Doc:   "https://learn.microsoft.com/en-us/exchange/mail-flow-best-practices/how-to-set-up-a-multifunction-device-or-application-to-send-email-using-microsoft-365-or-office-365",
			Login: "username is the mailbox; instead of a password, use [upstream.NAME.oauth2] (doc/oauth2.md)",
			// https://learn.microsoft.com/en-us/office365/servicedescriptions/exchange-online-service-description/exchange-online-limits
			Rate: "30/m", Concurrent: 3, Recipients: 500,
			Changes: []string{sentCopy, ownSender, "Exchange may rewrite the message: it re-encodes bodies and drops some header fields"},
			Notes:   []string{"passwords are off by default after December 2026 (550 5.7.30)", "10,000 recipients a day for a mailbox"},
		},
		{
			Name: "exchange-hve", Service: "Exchange High Volume Email", Host: "smtp-hve.office365.com", Port: 587, TLS: "starttls", OAuth2: "microsoft",
			Doc:     "https://learn.microsoft.com/en-us/exchange/mail-flow-best-practices/high-volume-mails-m365",
			Login:   "username and password of the HVE account, or OAuth2",
			Changes: []string{ownSender},
			Notes:   []string{"recipients inside the organisation only; no copy is kept"},
		},
		{
			Name: "gmail", Service: "Gmail and Google Workspace", Aka: "googlemail g-suite", Host: "smtp.gmail.com", Port: 587, TLS: "starttls", OAuth2: "google",
			Doc:   "https://support.google.com/a/answer/176600",
			Login: "username is the mailbox; the password " + appPass + ", or use [upstream.NAME.oauth2] (doc/oauth2.md)",
			Bytes: 25 << 20, Recipients: 100,
			Changes: []string{sentCopy, "a From other than the mailbox or its aliases is replaced"},
			Notes:   []string{"500 recipients a day, 2,000 at Google Workspace"},
		},
		{
			Name: "gmail-relay", Service: "Google Workspace SMTP relay", Host: "smtp-relay.gmail.com", Port: 587, TLS: "starttls", OAuth2: "google",
			Doc:   "https://support.google.com/a/answer/2956491",
			Login: "none if the administrator allows this machine's address; otherwise as for gmail",
			Bytes: 25 << 20, Recipients: 100,
			Changes: []string{"From must be in one of the organisation's domains"},
			Notes:   []string{"10,000 recipients a day for each user of the organisation"},
		},
		{
			Name: "fastmail", Service: "Fastmail", Host: "smtp.fastmail.com", Port: 465, TLS: "implicit",
			Doc:   "https://www.fastmail.help/hc/en-us/articles/1500000278342",
			Login: "username is the address; the password " + appPass, Changes: []string{ownSender}, Notes: []string{mailboxFor},
		},
		{
			Name: "icloud", Service: "iCloud Mail", Host: "smtp.mail.me.com", Port: 587, TLS: "starttls",
			Doc:   "https://support.apple.com/en-us/102525",
			Login: "username is the address; the password " + appPass,
			Bytes: 20 << 20, Recipients: 500, // https://support.apple.com/en-us/102198
			Changes: []string{ownSender}, Notes: []string{mailboxFor, "1,000 messages and 1,000 recipients a day"},
		},
		{
			Name: "yahoo", Service: "Yahoo Mail", Host: "smtp.mail.yahoo.com", Port: 465, TLS: "implicit",
			Doc:   "https://help.yahoo.com/kb/SLN4724.html",
			Login: "username is the address; the password " + appPass, Changes: []string{ownSender}, Notes: []string{mailboxFor},
		},
		{
			Name: "ovh", Service: "OVHcloud mailboxes", Host: "ssl0.ovh.net", Port: 465, TLS: "implicit",
			Doc:   "https://help.ovhcloud.com/csm/en-mx-plan-email-configuration-windows10?id=kb_article_view&sysparm_article=KB0051792",
			Login: "address and password of the mailbox", Changes: []string{ownSender}, Notes: []string{mailboxFor},
		},
		{
			Name: "infomaniak", Service: "Infomaniak Mail", Host: "mail.infomaniak.com", Port: 465, TLS: "implicit",
			Doc:        "https://www.infomaniak.com/en/support/faq/admin2/email-service",
			Login:      "address and password of the mailbox, or a password made for this device",
			Recipients: 100,
			Changes:    []string{ownSender}, Notes: []string{mailboxFor, "100 to 1,440 recipients a day, depending on the plan"},
		},
		{
			Name: "proton", Service: "Proton Mail for business", Host: "smtp.protonmail.ch", Port: 587, TLS: "starttls",
			Doc:   "https://proton.me/support/smtp-submission",
			Login: "username is the address for which the SMTP token was created; the password is the token", Changes: []string{sentCopy, ownSender},
			Notes: []string{"addresses of a custom domain only; the plan must include SMTP submission"},
		},
	}
}
