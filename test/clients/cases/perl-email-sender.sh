# needs: perl /usr/share/perl5/Email/Sender.pm /usr/share/perl5/Email/MIME.pm
# ways: smtp tls sendmail
# carries: cc bcc attachment
cat >mail.pl <<'END'
use strict; use warnings;
use Email::MIME; use Email::Sender::Simple qw(sendmail);
use Email::Sender::Transport::SMTP; use Email::Sender::Transport::Sendmail; use Encode;
sub slurp { open my $f, '<:raw', $_[0] or die; local $/; <$f> }
my %transport = (
	smtp => sub { Email::Sender::Transport::SMTP->new({ host => $ENV{HOST}, port => $ENV{PORT} }) },
	tls => sub { Email::Sender::Transport::SMTP->new({ host => $ENV{HOST}, port => $ENV{TLS_PORT}, ssl => 'starttls',
		ssl_options => { SSL_ca_file => $ENV{CA} }, sasl_username => $ENV{MAIL_USER}, sasl_password => $ENV{MAIL_PASSWORD} }) },
	sendmail => sub { Email::Sender::Transport::Sendmail->new({ sendmail => $ENV{SENDMAIL} }) },
);
my $m = Email::MIME->create(
	header_str => [From => $ENV{FROM}, To => $ENV{TO}, Cc => $ENV{CC}, Subject => decode('UTF-8', $ENV{SUBJECT})],
	parts => [
		Email::MIME->create(attributes => { content_type => 'text/plain', charset => 'utf-8', encoding => 'quoted-printable' },
			body_str => decode('UTF-8', slurp($ENV{TEXT}))),
		Email::MIME->create(attributes => { content_type => 'application/pdf', encoding => 'base64', disposition => 'attachment',
			filename => 'report.pdf' }, body => slurp($ENV{FILE})),
	]);
sendmail($m, { transport => $transport{$ARGV[0]}->(), from => $ENV{FROM}, to => [@ENV{qw(TO CC BCC)}] });
END
perl mail.pl "$1"
