# needs: git /usr/lib/git-core/git-send-email
# ways: smtp tls sendmail
# carries: cc bcc
# text: contains
git init -q . && git config user.name App && git config user.email "$FROM" && git config format.subjectPrefix ''
{ echo "$SUBJECT"; echo; cat "$TEXT"; } >commit.txt
git add text.txt && git commit -q --cleanup=verbatim -F commit.txt && git format-patch -q -1 --keep-subject --encode-email-headers
case $1 in
smtp) git config sendemail.smtpServer "$HOST"; git config sendemail.smtpServerPort "$PORT" ;;
tls)
	git config sendemail.smtpServer "$HOST"; git config sendemail.smtpServerPort "$TLS_PORT"
	git config sendemail.smtpEncryption tls; git config sendemail.smtpUser "$MAIL_USER"; git config sendemail.smtpPass "$MAIL_PASSWORD"
	git config sendemail.smtpSSLCertPath "$CA"
	;;
sendmail) git config sendemail.sendmailCmd sendmail; git config sendemail.envelopeSender auto ;;
esac
git send-email --quiet --confirm=never --suppress-cc=all --from="$FROM" --to="$TO" --cc="$CC" --bcc="$BCC" ./*.patch
