# needs: bsd-mailx
# ways: sendmail
# carries: cc bcc
# ascii: subject
echo "set sendmail=$SENDMAIL" >mailrc; export MAILRC="$PWD/mailrc"
bsd-mailx -n -s "$SUBJECT" -r "$FROM" -a 'MIME-Version: 1.0' -a 'Content-Type: text/plain; charset=UTF-8' -a 'Content-Transfer-Encoding: 8bit' \
	-c "$CC" -b "$BCC" "$TO" <"$TEXT"
