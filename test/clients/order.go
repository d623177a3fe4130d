package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"mime"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
)

// Addresses of the test mail.
const (
	sender       = "app@shop.example"
	toAddress    = "ann@example.org"
	ccAddress    = "bob@example.org"
	bccAddress   = "hidden@example.org"
	rootAddress  = "ops@example.org" // where [aliases] sends root
	mailDomain   = "shop.example"
	fileName     = "report.pdf"
	unicodeText  = "Grüße vom Gerät,\n.eine Zeile mit Punkt am Anfang\n.\nnach einer Zeile, die nur ein Punkt ist.\n"
	asciiText    = "Greetings,\n.a line that begins with a dot\n.\nafter a line that is only a dot.\n"
	fileSize     = 200_000
	mailPassword = "a password of the test"
)

// order is what a program is asked to send, in a directory of its own.
type order struct {
	dir      string
	sender   string
	from     string
	to       []string
	subject  string
	text     string
	contains bool
	file     []byte // nil: no attachment
	hidden   bool   // there is a Bcc
}

// order writes text, file and a whole message for the program.
func (c *testCase) order(dir, way string) (*order, error) {
	m := &order{
		sender: c.sender, from: c.from, to: c.to, contains: c.contains,
		subject: fmt.Sprintf("Grüße von %s über %s", c.name, way), text: unicodeText,
	}
	if m.from == "" {
		m.from = m.sender
	}
	if slices.Contains(c.ascii, "subject") {
		m.subject = fmt.Sprintf("Greetings from %s by %s", c.name, way)
	}
	if slices.Contains(c.ascii, "text") {
		m.text = asciiText
	}
	if c.noDots {
		m.text = strings.ReplaceAll(strings.ReplaceAll(m.text, "\n.\n", "\n"), "\n.", "\n")
	}
	if len(m.to) == 0 {
		m.to = []string{toAddress}
	}
	for _, what := range c.carries {
		switch what {
		case "cc":
			m.to = append(m.to, ccAddress)
		case "bcc":
			m.to = append(m.to, bccAddress)
			m.hidden = true
		case "attachment":
			m.file = randomFile()
		}
	}
	var err error
	if m.dir, err = os.MkdirTemp(dir, "case"); err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{"text.txt": []byte(m.text), fileName: m.file, "message.eml": m.message()} {
		if err := os.WriteFile(filepath.Join(m.dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// randomFile has every byte in it, and line ends of all sorts.
func randomFile() []byte {
	b := []byte("%PDF-1.7\r\n.\r\n\n\rFrom here on it is noise\n")
	r := rand.NewChaCha8([32]byte{7})
	noise := make([]byte, fileSize)
	_, _ = r.Read(noise) // never fails
	return append(b, noise...)
}

// message is the whole mail, for programs that take one.
func (m *order) message() []byte {
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\n", name, value) }
	header("From", m.from)
	header("To", toAddress)
	if slices.Contains(m.to, ccAddress) {
		header("Cc", ccAddress)
	}
	header("Subject", mime.BEncoding.Encode("utf-8", m.subject))
	header("MIME-Version", "1.0")
	if m.file == nil {
		header("Content-Type", "text/plain; charset=utf-8")
		header("Content-Transfer-Encoding", "8bit")
		b.WriteString("\n" + m.text)
		return b.Bytes()
	}
	header("Content-Type", "multipart/mixed; boundary=boundary-of-the-test")
	b.WriteString("\n--boundary-of-the-test\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" + m.text)
	fmt.Fprintf(&b, "\n--boundary-of-the-test\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=%s\n"+
		"Content-Transfer-Encoding: base64\n\n", fileName)
	encoded := base64.StdEncoding.EncodeToString(m.file)
	for chunk := range slices.Chunk([]byte(encoded), 76) {
		b.Write(append(chunk[:len(chunk):len(chunk)], '\n'))
	}
	b.WriteString("--boundary-of-the-test--\n")
	return b.Bytes()
}

// environment is what the script knows of the mail.
func (m *order) environment() []string {
	return []string{
		"FROM=" + m.from, "TO=" + toAddress, "CC=" + ccAddress, "BCC=" + bccAddress, "SUBJECT=" + m.subject,
		"SUBJECT_WORD=" + mime.BEncoding.Encode("utf-8", m.subject),
		"TEXT=" + filepath.Join(m.dir, "text.txt"), "FILE=" + filepath.Join(m.dir, fileName), "MESSAGE=" + filepath.Join(m.dir, "message.eml"),
		"HOME=" + m.dir, "TMPDIR=" + m.dir, "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "USER=" + accountName(), "LOGNAME=" + accountName(),
	}
}

// accountName is the login of whoever runs the test.
func accountName() string {
	u, err := user.Current()
	if err != nil {
		return "root"
	}
	return strings.ToLower(u.Username)
}
