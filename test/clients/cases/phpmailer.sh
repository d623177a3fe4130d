# needs: php /usr/share/php/libphp-phpmailer/autoload.php
# ways: smtp tls sendmail
# carries: cc bcc attachment
cat >mail.php <<'END'
<?php
require '/usr/share/php/libphp-phpmailer/autoload.php';
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
switch ($argv[1]) {
case 'smtp':
	$mail->isSMTP(); $mail->Host = getenv('HOST'); $mail->Port = (int)getenv('PORT'); $mail->SMTPAuth = false; $mail->SMTPAutoTLS = false;
	break;
case 'tls':
	$mail->isSMTP(); $mail->Host = getenv('HOST'); $mail->Port = (int)getenv('TLS_PORT'); $mail->SMTPSecure = 'tls';
	$mail->SMTPAuth = true; $mail->Username = getenv('MAIL_USER'); $mail->Password = getenv('MAIL_PASSWORD');
	$mail->SMTPOptions = ['ssl' => ['cafile' => getenv('CA')]];
	break;
case 'sendmail':
	$mail->isSendmail();
	break;
}
$mail->CharSet = 'utf-8';
$mail->setFrom(getenv('FROM')); $mail->addAddress(getenv('TO')); $mail->addCC(getenv('CC')); $mail->addBCC(getenv('BCC'));
$mail->Subject = getenv('SUBJECT'); $mail->Body = file_get_contents(getenv('TEXT')); $mail->addAttachment(getenv('FILE'));
$mail->send();
END
php -d sendmail_path="$SENDMAIL -t -i" mail.php "$1"
