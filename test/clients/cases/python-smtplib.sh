# needs: /usr/bin/python3
# ways: smtp tls
# carries: cc bcc attachment
cat >mail.py <<'END'
import os, smtplib, ssl, sys
from email.message import EmailMessage
e = os.environ
m = EmailMessage()
m['From'], m['To'], m['Cc'], m['Bcc'], m['Subject'] = e['FROM'], e['TO'], e['CC'], e['BCC'], e['SUBJECT']
m.set_content(open(e['TEXT'], encoding='utf-8').read())
m.add_attachment(open(e['FILE'], 'rb').read(), maintype='application', subtype='pdf', filename='report.pdf')
if sys.argv[1] == 'smtp':
    with smtplib.SMTP(e['HOST'], int(e['PORT'])) as s:
        s.send_message(m)
else:
    with smtplib.SMTP(e['HOST'], int(e['TLS_PORT'])) as s:
        s.starttls(context=ssl.create_default_context(cafile=e['CA'])); s.login(e['MAIL_USER'], e['MAIL_PASSWORD'])
        s.send_message(m)
END
/usr/bin/python3 mail.py "$1"
