package preset

const (
	envelopeTheirs = "bounces go to the service, not to MAIL FROM"
	verifiedFrom   = "From must be verified"
)

// services are those that have an HTTP API of their own here.
func services() []Preset {
	return []Preset{
		{
			Name: "amazon-ses", Service: "Amazon SES", Aka: "aws aws-ses", Host: "email-smtp.{region}.amazonaws.com", Port: 587, TLS: "starttls",
			Doc:   "https://docs.aws.amazon.com/ses/latest/dg/smtp-connect.html",
			Login: "the SMTP credentials of the region, which are not the access key",
			// https://docs.aws.amazon.com/general/latest/gr/ses.html
			Regions: []string{"us-east-1", "us-east-2", "us-west-1", "us-west-2", "af-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
				"ap-south-1", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ca-central-1", "eu-central-1", "eu-north-1", "eu-south-1", "eu-west-1",
				"eu-west-2", "eu-west-3", "il-central-1", "me-south-1", "sa-east-1", "us-gov-east-1", "us-gov-west-1"},
			Bytes: 40 << 20, Recipients: 50, // https://docs.aws.amazon.com/ses/latest/dg/quotas.html
			NewID:   true, // https://docs.aws.amazon.com/ses/latest/dg/header-fields.html
			Changes: []string{"Date is replaced", envelopeTheirs, verifiedFrom},
			Notes:   []string{"in the sandbox only verified addresses get mail", "a relay that is idle for 10 s is disconnected"},
		},
		{
			Name: "resend", Service: "Resend", Host: "smtp.resend.com", Port: 465, TLS: "implicit", Username: "resend",
			Doc: "https://resend.com/docs/send-with-smtp", Login: "the password is an API key", Recipients: 50, NewID: true, Keyed: true,
			Changes: []string{envelopeTheirs, verifiedFrom, "the message is taken apart and rebuilt"},
		},
		{
			Name: "sendgrid", Service: "Twilio SendGrid", Host: "smtp.sendgrid.net", Port: 587, TLS: "starttls", Username: "apikey",
			Doc: "https://www.twilio.com/docs/sendgrid/for-developers/sending-email/integrating-with-the-smtp-api", Login: "the password is an API key",
			Bytes: 30 << 20, Recipients: 1000, Changes: []string{envelopeTheirs, verifiedFrom, "links and images are tracked as the account's settings say"},
		},
		{
			Name: "mailgun-us", Service: "Mailgun, US", Host: "smtp.mailgun.org", Port: 587, TLS: "starttls",
			Doc: "https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/send-smtp", Login: "an SMTP credential of the sending domain",
			Bytes: 25 << 20, Recipients: 1000, Changes: []string{envelopeTheirs, "links and images are tracked as the domain's settings say"},
		},
		{
			Name: "mailgun-eu", Service: "Mailgun, EU", Host: "smtp.eu.mailgun.org", Port: 587, TLS: "starttls",
			Doc: "https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/send-smtp", Login: "an SMTP credential of the sending domain",
			Bytes: 25 << 20, Recipients: 1000, Changes: []string{envelopeTheirs, "links and images are tracked as the domain's settings say"},
		},
		{
			Name: "postmark", Service: "Postmark", Host: "smtp.postmarkapp.com", Port: 587, TLS: "starttls",
			Doc: "https://postmarkapp.com/developer/user-guide/send-email-with-smtp", Login: "username and password are both the server token",
			Bytes: 10 << 20, Recipients: 50, KeepID: "X-PM-KeepID",
			Changes: []string{envelopeTheirs, verifiedFrom, "some types of attachments are refused"},
		},
		{
			Name: "brevo", Service: "Brevo", Aka: "sendinblue", Host: "smtp-relay.brevo.com", Port: 587, TLS: "starttls",
			Doc: "https://developers.brevo.com/docs/smtp-integration", Login: "the SMTP login and an SMTP key, which is not an API key",
			NewID:   true, // https://github.com/PHPMailer/PHPMailer/issues/2859
			Changes: []string{envelopeTheirs, verifiedFrom, "links and images are tracked as the account's settings say"},
			Notes:   []string{"300 mails a day on the free plan"},
		},
		{
			Name: "sparkpost-us", Service: "SparkPost (Bird), US", Host: "smtp.sparkpostmail.com", Port: 587, TLS: "starttls", Username: "SMTP_Injection",
			Doc: "https://developers.sparkpost.com/api/smtp/", Login: "the password is an API key with the right to send via SMTP",
			Bytes: 20 << 20, Changes: []string{envelopeTheirs, verifiedFrom, "links and images are tracked unless X-MSYS-API says otherwise"},
		},
		{
			Name: "sparkpost-eu", Service: "SparkPost (Bird), EU", Host: "smtp.eu.sparkpostmail.com", Port: 587, TLS: "starttls", Username: "SMTP_Injection",
			Doc: "https://developers.sparkpost.com/api/smtp/", Login: "the password is an API key with the right to send via SMTP",
			Bytes: 20 << 20, Changes: []string{envelopeTheirs, verifiedFrom, "links and images are tracked unless X-MSYS-API says otherwise"},
		},
		{
			Name: "mandrill", Service: "Mailchimp Transactional (Mandrill)", Host: "smtp.mandrillapp.com", Port: 587, TLS: "starttls",
			Doc: "https://mailchimp.com/developer/transactional/docs/smtp-integration/", Login: "username is the primary contact's address, or any name; the password is an API key",
			NewID:   true, // as the account is set
			Changes: []string{envelopeTheirs, verifiedFrom, "links and images are tracked as the account's settings say"},
		},
		{
			Name: "cloudflare", Service: "Cloudflare Email Sending", Host: "smtp.mx.cloudflare.net", Port: 465, TLS: "implicit", Username: "api_token",
			Doc: "https://developers.cloudflare.com/email-service/api/send-emails/smtp/", Login: "the password is an API token with the right Email Sending: Edit",
			Bytes: 5 << 20, Recipients: 50, // https://developers.cloudflare.com/email-service/platform/limits/
			NewID:   true,
			Changes: []string{"Date is replaced", envelopeTheirs, verifiedFrom, "header fields beyond an allowed list are refused"},
			Notes:   []string{"a message whose recipients are all suppressed is accepted and not sent; type = \"cloudflare\" reports that"},
		},
	}
}
