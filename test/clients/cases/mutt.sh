# needs: mutt
# ways: smtp tls sendmail
# carries: cc bcc attachment
case $1 in
smtp) cat >muttrc <<END ;;
set smtp_url="smtp://$HOST:$PORT/" ssl_force_tls=no from="$FROM" use_envelope_from=yes
END
tls) cat >muttrc <<END ;;
set smtp_url="smtp://$MAIL_USER@$HOST:$TLS_PORT/" smtp_pass="$MAIL_PASSWORD" certificate_file="$CA" from="$FROM" use_envelope_from=yes
END
sendmail) cat >muttrc <<END ;;
set sendmail="$SENDMAIL -oem -oi" from="$FROM" use_envelope_from=yes
END
esac
mutt -n -F muttrc -e 'set copy=no' -s "$SUBJECT" -c "$CC" -b "$BCC" -a "$FILE" -- "$TO" <"$TEXT"
