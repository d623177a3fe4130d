# needs: swaks
# ways: smtp tls sendmail
# carries: cc bcc attachment
set -- "$1" --from "$FROM" --to "$TO,$CC,$BCC" --h-To "$TO" --header "Cc: $CC" --header "Subject: $SUBJECT_WORD" \
	--body "@$TEXT" --attach-type application/pdf --attach-name report.pdf --attach "@$FILE" --silent 2
way=$1; shift
case $way in
smtp) swaks --server "$HOST:$PORT" "$@" ;;
tls) swaks --server "$HOST:$TLS_PORT" -tls --tls-ca-path "$CA" --auth PLAIN -au "$MAIL_USER" -ap "$MAIL_PASSWORD" "$@" ;;
sendmail) swaks --pipe "$SENDMAIL -bs" "$@" ;;
esac
