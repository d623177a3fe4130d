# ways: sendmail
# carries: cc bcc attachment
# Recipients from the header, as most programs call it.
{ echo "Bcc: $BCC"; cat "$MESSAGE"; } | sendmail -t -i -f "$FROM"
