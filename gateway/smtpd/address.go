package smtpd

// Address understands an address without brackets as MAIL and RCPT do, for mail that comes by another
// way: a bare name is completed with domain. The error is in words for the sender.
func Address(text, domain string) (string, error) {
	if text == "" {
		return "", errNoAddress
	}
	p, err := parsePath(text, domain)
	return p.address, err
}
