# needs: node /usr/share/nodejs/nodemailer/package.json
# ways: smtp tls sendmail
# carries: cc bcc attachment
cat >mail.js <<'END'
const nodemailer = require('/usr/share/nodejs/nodemailer'), fs = require('fs'), e = process.env
const transports = {
	smtp: { host: e.HOST, port: e.PORT, secure: false, ignoreTLS: true },
	tls: { host: e.HOST, port: e.TLS_PORT, requireTLS: true, auth: { user: e.MAIL_USER, pass: e.MAIL_PASSWORD } },
	sendmail: { sendmail: true, path: e.SENDMAIL },
}
nodemailer.createTransport(transports[process.argv[2]]).sendMail({
	from: e.FROM, to: e.TO, cc: e.CC, bcc: e.BCC, subject: e.SUBJECT, text: fs.readFileSync(e.TEXT, 'utf8'),
	attachments: [{ path: e.FILE }],
}).catch(err => { console.error(err); process.exit(1) })
END
NODE_EXTRA_CA_CERTS=$CA node mail.js "$1"
