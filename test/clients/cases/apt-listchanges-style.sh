# needs: /usr/bin/python3
# ways: sendmail
# sender: $ACCOUNT@shop.example
# from: root@shop.example
# to: ops@example.org
# As apt-listchanges and unattended-upgrades: Python's email package, base64, "sendmail -oi -t".
cat >mail.py <<'END'
import email.header, email.mime.text, os, subprocess
e = os.environ
m = email.mime.text.MIMEText(open(e['TEXT'], encoding='utf-8').read(), 'plain', 'UTF-8')
m['Auto-Submitted'] = 'auto-generated'
m['Subject'] = email.header.Header(e['SUBJECT'], 'UTF-8')
m['To'] = 'root'
m['From'] = 'root'
subprocess.run([e['SENDMAIL'], '-oi', '-t'], input=m.as_bytes(), check=True)
END
/usr/bin/python3 mail.py
