# needs: perl
# ways: sendmail
# sender: $ACCOUNT@shop.example
# from: logwatch@shop.example
# to: ops@example.org
# ascii: subject
# dots: no
# As logwatch's mailer: a pipe from Perl to "sendmail -t", bare names, no Date, no Message-ID, no -i.
cat >mail.pl <<'END'
open my $out, '|-', "$ENV{SENDMAIL} -t" or die;
print $out "To: root\nFrom: logwatch\nSubject: $ENV{SUBJECT}\nMIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n",
	"Content-Type: text/plain; charset=\"UTF-8\"\n\n";
open my $in, '<', $ENV{TEXT} or die;
print $out $_ while <$in>;
close $out or die;
END
perl mail.pl
