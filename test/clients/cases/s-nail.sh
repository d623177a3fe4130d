# needs: s-nail
# ways: smtp tls sendmail
# carries: cc bcc attachment
set -- "$1" -a "$FILE" -c "$CC" -b "$BCC" -r "$FROM" -s "$SUBJECT" -S ttycharset=utf-8 -S sendwait "$TO"
way=$1; shift
case $way in
smtp) exec s-nail -:/ -S v15-compat -S mta="smtp://$HOST:$PORT" -S smtp-auth=none "$@" <"$TEXT" ;;
tls) exec s-nail -:/ -S v15-compat -S mta="smtp://$HOST:$TLS_PORT" -S smtp-use-starttls -S tls-ca-file="$CA" -S smtp-auth=plain \
	-S user="$MAIL_USER" -S password="$MAIL_PASSWORD" "$@" <"$TEXT" ;;
sendmail) exec s-nail -:/ -S v15-compat -S mta="$SENDMAIL" "$@" <"$TEXT" ;;
esac
