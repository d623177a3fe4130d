# needs: curl
# ways: smtp tls
# carries: cc bcc attachment
set -- "$1" --mail-from "$FROM" --mail-rcpt "$TO" --mail-rcpt "$CC" --mail-rcpt "$BCC" -T "$MESSAGE"
way=$1; shift
case $way in
smtp) curl -sS --crlf "smtp://$HOST:$PORT" "$@" ;;
tls) curl -sS --crlf --ssl-reqd --cacert "$CA" -u "$MAIL_USER:$MAIL_PASSWORD" "smtp://$HOST:$TLS_PORT" "$@" ;;
esac
