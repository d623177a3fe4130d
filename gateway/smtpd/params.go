package smtpd

import (
	"fmt"
	"strconv"
	"strings"
)

// mailParams checks the ESMTP parameters of MAIL.
func (f *front) mailParams(text string) (params, reply string) {
	f.utf8 = false
	for _, p := range strings.Fields(text) {
		key, value, _ := strings.Cut(p, "=")
		switch strings.ToUpper(key) {
		case "SMTPUTF8":
			f.utf8 = true
		case "SIZE":
			// go-smtp knows no more than 32 bits.
			n, err := strconv.ParseUint(value, 10, 63)
			tooBig := err == nil && f.cfg.MaxMessage > 0 && n > uint64(f.cfg.MaxMessage)
			if tooBig || err != nil && isDigits(value) {
				return "", tooBigReply(f.cfg.MaxMessage)
			}
			if err == nil && n > 1<<32-1 {
				text = strings.Replace(text, p, "", 1)
			}
		case "AUTH":
			text = strings.Replace(text, p, "", 1) // RFC 4954 5: may be taken for AUTH=<>
		}
	}
	return cutParams(text, "SIZE BODY SMTPUTF8 RET ENVID")
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func tooBigReply(limit int64) string {
	return fmt.Sprintf("552 5.3.4 Message too big: the limit is %d bytes", limit)
}

// cutParams lets only the known ESMTP parameters through, each once (RFC 5321 4.1.1.11: 555).
func cutParams(text, known string) (params, reply string) {
	seen := map[string]bool{}
	var b strings.Builder
	for _, p := range strings.Fields(text) {
		key, _, _ := strings.Cut(p, "=")
		key = strings.ToUpper(key)
		if !strings.Contains(" "+known+" ", " "+key+" ") {
			return "", "555 5.5.4 Unknown parameter"
		}
		if seen[key] {
			return "", "501 5.5.4 " + key + " is given twice"
		}
		if !isASCII(p) {
			return "", "501 5.5.4 Malformed " + key
		}
		seen[key] = true
		b.WriteString(" " + p)
	}
	return b.String(), ""
}
