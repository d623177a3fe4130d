# needs: perl /usr/share/perl5/Authen/SASL.pm /usr/share/perl5/IO/Socket/SSL.pm
# ways: smtp tls
# carries: cc bcc attachment
cat >mail.pl <<'END'
use strict; use warnings; use Net::SMTP;
my $away = $ARGV[0] eq 'tls';
my $s = Net::SMTP->new($ENV{HOST}, Port => $away ? $ENV{TLS_PORT} : $ENV{PORT}) or die "connect: $@";
if ($away) {
	$s->starttls(SSL_ca_file => $ENV{CA}) or die "STARTTLS: $@";
	$s->auth($ENV{MAIL_USER}, $ENV{MAIL_PASSWORD}) or die 'AUTH: ' . $s->message;
}
my $message = do { open my $f, '<', $ENV{MESSAGE} or die; local $/; <$f> };
$s->mail($ENV{FROM}) and $s->to($ENV{TO}, $ENV{CC}, $ENV{BCC}) and $s->data($message) or die $s->message;
$s->quit;
END
perl mail.pl "$1"
