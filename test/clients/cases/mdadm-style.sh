# ways: sendmail
# sender: $ACCOUNT@shop.example
# from: root@shop.example
# to: ops@example.org
# ascii: subject text
# dots: no
# As mdadm --monitor and smartd: "sendmail -t" with lines that are only just a header.
{
	echo "From: mdadm monitoring <root>"; echo "To: root"; echo "Subject: $SUBJECT"; echo
	cat "$TEXT"
} | sendmail -t
