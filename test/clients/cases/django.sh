# needs: /usr/lib/python3/dist-packages/django/__init__.py
# ways: smtp tls
# carries: cc bcc attachment
cat >mail.py <<'END'
import os, sys
import django
from django.conf import settings
from django.core.mail import EmailMessage
e = os.environ
if sys.argv[1] == 'smtp':
    settings.configure(EMAIL_HOST=e['HOST'], EMAIL_PORT=int(e['PORT']))
else:
    settings.configure(EMAIL_HOST=e['HOST'], EMAIL_PORT=int(e['TLS_PORT']), EMAIL_USE_TLS=True,
                       EMAIL_HOST_USER=e['MAIL_USER'], EMAIL_HOST_PASSWORD=e['MAIL_PASSWORD'])
django.setup()
m = EmailMessage(e['SUBJECT'], open(e['TEXT'], encoding='utf-8').read(), e['FROM'], [e['TO']], cc=[e['CC']], bcc=[e['BCC']])
m.attach_file(e['FILE'])
assert m.send() == 1
END
SSL_CERT_FILE=$CA /usr/bin/python3 mail.py "$1"
