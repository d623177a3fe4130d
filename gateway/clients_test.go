package gateway

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/gateway/envelope"
)

// pythonClient composes the mail of fullMail by Python's own library, keeps it in argv[2] and sends it.
const pythonClient = `
import base64, smtplib, sys
from email.message import EmailMessage
from email.policy import SMTP
addr, keep, via, image, doc = sys.argv[1:]
m = EmailMessage(policy=SMTP)
m['From'] = 'Jürgen <app@billing.example.com>'
m['To'] = 'Ann <ann@example.org>, Bob <bob@example.org>'
m['Cc'] = 'cy@example.net'
m['Subject'] = 'Rechnung für März'
m['X-Via'] = via
m.set_content('Grüße, Text\n')
m.add_alternative('<p>Hallo <img src="cid:logo@app"></p>\n', subtype='html')
m.get_payload()[1].add_related(base64.b64decode(image), 'image', 'png', cid='<logo@app>', filename='logo.png')
m.add_attachment(base64.b64decode(doc), maintype='application', subtype='pdf', filename='Résumé März.pdf')
open(keep, 'wb').write(m.as_bytes())
host, port = addr.split(':')
with smtplib.SMTP(host, int(port)) as s:
    s.send_message(m, from_addr='app@billing.example.com',
        to_addrs=['ann@example.org', 'bob@example.org', 'cy@example.net', 'secret@example.org'])
`

// TestRealClients sends the full mail by programs that people use to all four upstreams.
func TestRealClients(t *testing.T) {
	f := newFour(t)
	sent := 0
	for _, c := range []struct {
		program string
		args    func(addr, file, via string) []string
		writes  bool // the program writes the file, else it reads it
	}{
		{"swaks", func(addr, file, via string) []string {
			return []string{"--server", addr, "--from", "app@billing.example.com", "--to", strings.Join(fullTo, ","), "--data", "@" + file, "--suppress-data"}
		}, false},
		{"curl", func(addr, file, via string) []string {
			args := []string{"-sS", "smtp://" + addr, "--mail-from", "app@billing.example.com", "--upload-file", file}
			for _, to := range fullTo {
				args = append(args, "--mail-rcpt", to)
			}
			return args
		}, false},
		{"python3", func(addr, file, via string) []string {
			oneLine := func(b []byte) string { return strings.ReplaceAll(wrap64(b), "\n", "") }
			return []string{"-c", pythonClient, addr, file, via, oneLine(imageData), oneLine(fileData)}
		}, true},
	} {
		t.Run(c.program, func(t *testing.T) {
			path, err := exec.LookPath(c.program)
			if err != nil {
				t.Skipf("%s is not installed", c.program)
			}
			file := filepath.Join(t.TempDir(), "mail.eml")
			for _, via := range upstreams {
				if !c.writes {
					text := strings.ReplaceAll("X-Via: "+via+"\n"+fullMail(), "\n", "\r\n")
					if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if out, err := exec.Command(path, c.args(f.addr, file, via)...).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", c.program, err, out)
				}
			}
			sent += 16
			f.await("the recipients", func() bool { return len(f.ended(envelope.Sent)) == sent })
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f.check(t, string(text))
		})
	}
}
