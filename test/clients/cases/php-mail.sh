# needs: php
# ways: sendmail
# carries: cc bcc
cat >mail.php <<'END'
<?php
$word = '=?UTF-8?B?' . base64_encode(getenv('SUBJECT')) . '?=';
$header = ['From' => getenv('FROM'), 'Cc' => getenv('CC'), 'Bcc' => getenv('BCC'), 'MIME-Version' => '1.0',
	'Content-Type' => 'text/plain; charset=utf-8', 'Content-Transfer-Encoding' => '8bit'];
exit(mail(getenv('TO'), $word, file_get_contents(getenv('TEXT')), $header, '-f' . getenv('FROM')) ? 0 : 1);
END
php -d sendmail_path="$SENDMAIL -t -i" mail.php
