# ways: sendmail
# sender: $ACCOUNT@shop.example
# to: ops@example.org
# ascii: subject
# As Debian's cron calls it: a bare account for everything, almost no environment.
{
	echo "From: $LOGNAME (Cron Daemon)"; echo "To: root"; echo "Subject: $SUBJECT"; echo 'MIME-Version: 1.0'
	echo 'Content-Type: text/plain; charset=UTF-8'; echo 'Content-Transfer-Encoding: 8bit'; echo 'X-Cron-Env: <SHELL=/bin/sh>'; echo
	cat "$TEXT"
} | env -i PATH=/usr/bin:/bin MAILHATCH_CONFIG="$MAILHATCH_CONFIG" "$SENDMAIL" -i -FCronDaemon -B8BITMIME -oem root
