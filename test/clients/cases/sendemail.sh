# needs: sendemail
# ways: smtp
# carries: cc bcc attachment
# ascii: subject
# dots: no
# It takes a dot away from lines that begin with one.
sendemail -q -s "$HOST:$PORT" -o tls=no -o message-charset=utf-8 -f "$FROM" -t "$TO" -cc "$CC" -bcc "$BCC" -u "$SUBJECT" \
	-o message-file="$TEXT" -a "$FILE"
