// Package mimetest makes messages for tests.
package mimetest

import (
	"fmt"
	"strings"
)

const from = "From: a@x.example\r\n"

// Hostile returns messages of about so many bytes, by name, that make careless parsers slow or large.
func Hostile(size int) map[string]string {
	rep := repeater(size)
	all := hostileHeaders(rep)
	for _, more := range []map[string]string{hostileParams(rep), hostileTrees(rep), HostileBodies(size)} {
		for name, raw := range more {
			all[name] = raw
		}
	}
	return all
}

// repeater repeats a text up to about so many bytes.
func repeater(size int) func(string) string {
	return func(s string) string { return strings.Repeat(s, max(1, (size-2000)/len(s))) }
}

// numbered repeats a format with a number in it.
func numbered(rep func(string) string, format string) string {
	n := strings.Count(rep(fmt.Sprintf(format, 10_000)), "") / len(fmt.Sprintf(format, 10_000))
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func hostileHeaders(rep func(string) string) map[string]string {
	subject := from + "Subject: "
	return map[string]string{
		"one line":            rep("x"),
		"one header line":     "From: " + rep("x"),
		"fields":              rep("a:\n"),
		"one field often":     from + rep("X-A: b\r\n"),
		"one field counting":  from + numbered(rep, "X-A: %d\r\n"),
		"many fields":         from + numbered(rep, "X-%d: b\r\n"),
		"references":          from + numbered(rep, "References: <%d@x>\r\n"),
		"no fields":           rep("a\n"),
		"lost indents":        from + "Subject: x\n" + rep("a\n") + "To: b@x.example\n",
		"lost parameters":     from + "Content-Type: text/plain;\n" + rep("a=b;\n"),
		"control fields":      from + numbered(rep, "X-Mailgun-Variables: {\"%d\":1}\r\n"),
		"many control fields": from + numbered(rep, "X-MC-%d: b\r\n"),
		"raw 8-bit fields":    from + rep("X-A: \xe9\xff\r\n"),
		"folded":              "Subject: x" + rep("\n "),
		"addresses":           "From: " + rep("a,"),
		"true addresses":      from + "To: " + numbered(rep, "Ann <ann%d@example.org>, ") + "\r\n",
		"true senders":        "From: " + numbered(rep, "Ann <ann%d@example.org>, ") + "\r\n",
		"reply to many":       from + "Reply-To: " + numbered(rep, "ann%d@example.org, ") + "\r\n",
		"quotes":              "From: " + rep("\""),
		"half quotes":         "From: " + rep("\"\\"),
		"brackets":            "From: " + rep("("),
		"bracket pairs":       "From: " + rep("()"),
		"angles":              "From: " + rep("<"),
		"angle pairs":         "From: " + rep("<@,:>"),
		"literals":            "From: " + rep("@["),
		"dots":                "From: " + rep(". "),
		"colons":              "From: " + rep(":"),
		"groups":              "From: " + rep("g:a@x.example;,"),
		"spaces":              "From: a" + rep(" "),
		"bracket in angle":    "From: <" + rep("(") + ">",
		"words":               subject + rep("=?utf-8?q?=41?= "),
		"base64 words":        subject + rep("=?utf-8?b?w6k=?="),
		"words of charsets":   subject + rep("=?iso-2022-jp?b?GyRCRnwbKEI=?= =?gb18030?q?=81=30=81=30?= =?utf-7?q?+AOk-?= "),
		"half words":          subject + rep("=?"),
		"unended words":       subject + rep("=?u?q?a "),
		"unended charset":     subject + rep("=?a"),
		"words in addresses":  "To: " + rep("=?utf-8?q?=41?= <a@x.example>, ") + "\r\n" + from,
	}
}

func hostileParams(rep func(string) string) map[string]string {
	plain := from + "Content-Type: text/plain; "
	file := from + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment; "
	return map[string]string{
		"parameters":           plain + numbered(rep, "n*%d*=utf-8''%%41;"),
		"continued names":      plain + numbered(rep, "name*%d=a;"),
		"many continued names": plain + numbered(rep, "n%d*0=a;"),
		"folded parameters":    plain + rep("\r\n a=b;"),
		"plain parameters":     plain + rep("a=b;"),
		"bare parameter":       plain + "a=" + rep("b "),
		"type comments":        from + "Content-Type: text/plain" + rep("("),
		"open quotes":          plain + rep("a=\";"),
		"long name":            file + "filename=\"" + rep("x")[:60_000] + "\"\r\n\r\nx\r\n" + rep("--b\r\nContent-Disposition: attachment; filename=a\r\n\r\nx\r\n"),
		"continued file name":  file + numbered(func(s string) string { return strings.Repeat(s, 60_000/len(s)) }, "filename*%d*=%%41;") + "\r\n\r\nx\r\n" + rep("x"),
	}
}

func hostileTrees(rep func(string) string) map[string]string {
	const depth, prefix = 140, 200
	head := from + "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	var boundaries, alternatives strings.Builder
	for i := range depth {
		fmt.Fprintf(&boundaries, "Content-Type: multipart/mixed; boundary=%s%d\r\n\r\n--%[1]s%[2]d\r\n", strings.Repeat("-", prefix), i)
		fmt.Fprintf(&alternatives, "Content-Type: multipart/alternative; boundary=c%d\r\n\r\n--c%d\r\nContent-Type: text/html\r\n\r\n<p>\r\n--c%d\r\n", i, i, i)
	}
	return map[string]string{
		"deep":              numbered(rep, "Content-Type: multipart/mixed; boundary=b%[1]d\r\n\r\n--b%[1]d\r\n"),
		"deep alternatives": from + alternatives.String() + rep("--c1\r\nContent-Type: text/plain\r\n\r\nx\r\n"),
		"deep, 8-bit":       from + boundaries.String() + "\r\n" + rep("\xe9\xff\r\n"),
		"deep, one boundary": from + strings.Repeat("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", depth) +
			rep("--b--\r\n"),
		"messages in messages": from + strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 200) + "\r\n" + rep("\xe9\xff\r\n"),
		"messages in digests": from + strings.Repeat("Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\n", depth) +
			"\r\n" + rep("\xe9\xff\r\n"),
		"empty parts":       head + rep("--b\r\n"),
		"parts with fields": head + rep("--b\r\nContent-Type: text/html; charset=x\r\n\r\n<p>\r\n"),
		"8-bit parts":       head + rep("--b\r\nX-A: \xe9\r\nContent-Type: text/html\r\n\r\n\xe9\xff\r\n"),
		"nameless files":    head + rep("--b\r\nContent-Type: image/png\r\n\r\nx\r\n"),
		"inline files": head + "--b\r\nContent-Type: text/html\r\n\r\n" + strings.Repeat("<img src=cid:a>", 10_000) + "\r\n" +
			rep("--b\r\nContent-ID: <a>\r\nContent-Type: image/png\r\n\r\nx\r\n"),
		"texts in turn":    head + rep("--b\r\n\r\na<&\r\n--b\r\nContent-Type: text/html\r\n\r\n<table><b><p>x\r\n"),
		"twins in turn":    head + rep("--b\r\n\r\na b c\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>a b c\r\n"),
		"pictures between": head + rep("--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b\r\n\r\na\r\n"),
		"located pictures": head + "--b\r\nContent-Type: text/html\r\n\r\n" + strings.Repeat("<img src=a>", 10_000) + "\r\n" +
			rep("--b\r\nContent-Location: a\r\nContent-Type: image/png\r\n\r\nx\r\n"),
		"part header":  head + "--b\r\n" + rep("a:\n"),
		"dashes":       boundaries.String() + rep(strings.Repeat("-", prefix+2)+"\r\n"),
		"short dashes": boundaries.String() + rep("--\n"),
		"ends":         from + boundaries.String() + rep("--"+strings.Repeat("-", prefix)+"1--\r\n"),
	}
}

// HostileBodies returns those of Hostile with a body that may be of any size: headers have a limit, and so
// have the parts.
func HostileBodies(size int) map[string]string {
	rep := repeater(size)
	text := from + "Content-Type: text/plain; charset="
	encoded := from + "Content-Type: text/plain\nContent-Transfer-Encoding: "
	joined, html := from+"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello.\r\n--b\r\n", "Content-Type: text/html\r\n\r\n"
	return map[string]string{
		"cids":            from + "Content-Type: text/html\n\n" + rep("cid:"),
		"tags":            from + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\na b c\n--b\nContent-Type: text/html\n\n" + rep("<p>&amp;"),
		"joined text":     joined + rep("a<&\r\n"),
		"joined tags":     joined + html + rep("<b><i></b>"),
		"open elements":   joined + html + rep("<b>"),
		"one long tag":    joined + html + "<p title=\"" + rep("x"),
		"many attributes": joined + html + "<p " + rep("a=b "),
		"one comment":     joined + html + "<!--" + rep("-x"),
		"one style":       joined + html + "<style>" + rep("</styl"),
		"references":      joined + html + rep("&am"),
		"line breaks":     joined + html + rep("<br>"),
		"links":           joined + html + rep("<a href=http://x.example>y</a>"),
		"list":            joined + html + rep("<ul><li>"),
		"located":         joined + "Content-Location: a\r\nContent-Type: image/png\r\n\r\nx\r\n--b\r\n" + html + rep("<p style='x:url(a)'><img src=a>"),
		"enriched":        from + "Content-Type: text/enriched\n\n" + rep("<<\n\n<b>x"),
		"open enriched":   from + "Content-Type: text/enriched\n\n" + rep("<"),
		"rich text":       from + "Content-Type: text/richtext\n\n" + rep("<nl><lt>\n"),
		"qp":              encoded + "quoted-printable\n\n" + rep("="),
		"qp spaces":       encoded + "quoted-printable\n\n" + rep(" "),
		"qp soft":         encoded + "quoted-printable\n\n" + rep("= "),
		"base64":          encoded + "base64\n\n" + rep("="),
		"base64 stars":    encoded + "base64\n\n" + rep("*"),
		"base64 cut":      encoded + "base64\n\n" + rep("AAAA") + "A",
		"uu":              encoded + "x-uue\n\nbegin 644 a\n" + rep("!!!!!\n"),
		"utf-7":           text + "utf-7\n\n" + rep("+"),
		"8-bit":           text + "utf-8\n\n" + rep("\xc3\xff"),
		"utf-16":          text + "utf-16\n\n" + rep("\xd8\x00"),
		"latin-1":         text + "iso-8859-1\n\n" + rep("\xe9"),
		"gb18030":         text + "gb18030\n\n" + rep("\x81\x30\x81\x30"),
		"iso-2022-jp":     text + "iso-2022-jp\n\n" + rep("\x1b$B\x1b(B"),
		"controls":        text + "utf-8\n\n" + rep("\x01\x00"),
		"quotes of JSON":  text + "utf-8\n\n" + rep("\"\\<>&\u2028"),
		"dot lines":       text + "utf-8\n\n" + rep(".\n"),
		"lone ends":       text + "utf-8\n\n" + rep("\r\r\n"),
	}
}
