# needs: perl /usr/share/perl5/MIME/Lite.pm
# ways: smtp sendmail
# carries: cc bcc attachment
cat >mail.pl <<'END'
use strict; use warnings; use MIME::Lite;
my $m = MIME::Lite->new(From => $ENV{FROM}, To => $ENV{TO}, Cc => $ENV{CC}, Bcc => $ENV{BCC}, Subject => $ENV{SUBJECT_WORD}, Type => 'multipart/mixed');
$m->attach(Type => 'text/plain; charset=utf-8', Encoding => '8bit', Path => $ENV{TEXT});
$m->attach(Type => 'application/pdf', Path => $ENV{FILE}, Filename => 'report.pdf', Disposition => 'attachment');
if ($ARGV[0] eq 'smtp') { $m->send('smtp', $ENV{HOST}, Port => $ENV{PORT}) or die }
else { $m->send('sendmail', "$ENV{SENDMAIL} -t -oi -oem -f $ENV{FROM}") or die }
END
perl mail.pl "$1"
