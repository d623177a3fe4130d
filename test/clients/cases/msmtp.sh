# needs: msmtp
# ways: smtp tls
# carries: cc bcc attachment
umask 077
cat >.msmtprc <<END
account local
host $HOST
port $PORT
from $FROM
account away
host $HOST
port $TLS_PORT
tls on
tls_trust_file $CA
auth on
user $MAIL_USER
password $MAIL_PASSWORD
from $FROM
END
case $1 in smtp) account=local ;; tls) account=away ;; esac
{ echo "Bcc: $BCC"; cat "$MESSAGE"; } | msmtp -C .msmtprc -a "$account" -t
