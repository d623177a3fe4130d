# needs: mpack
# ways: sendmail
# carries: attachment
# ascii: subject
# mpack knows no sendmail but /usr/sbin/sendmail, so it writes a file here.
mpack -s "$SUBJECT" -d "$TEXT" -c application/pdf -o out.eml "$FILE"
{ echo "From: $FROM"; echo "To: $TO"; cat out.eml; } | sendmail -t -oi -f "$FROM"
