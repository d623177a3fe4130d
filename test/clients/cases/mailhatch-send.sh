# ways: smtp sendmail
# carries: cc bcc attachment
set -- "$1" -r "$FROM" -s "$SUBJECT" -a "$FILE" --cc "$CC" --bcc "$BCC" "$TO"
way=$1; shift
case $way in
smtp) mailhatch send --server "$HOST:$PORT" "$@" <"$TEXT" ;;
sendmail) mailhatch send "$@" <"$TEXT" ;;
esac
