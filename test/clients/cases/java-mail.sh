# needs: javac /usr/share/java/javax.mail.jar /usr/share/java/javax.activation.jar
# ways: smtp tls
# carries: cc bcc attachment
cat >Send.java <<'END'
import java.nio.file.*; import java.util.*; import javax.mail.*; import javax.mail.internet.*;
class Send {
	public static void main(String[] args) throws Exception {
		Map<String, String> e = System.getenv();
		Properties p = new Properties();
		boolean away = args[0].equals("tls");
		p.put("mail.smtp.host", e.get("HOST"));
		p.put("mail.smtp.port", e.get(away ? "TLS_PORT" : "PORT"));
		if (away) {
			p.put("mail.smtp.auth", "true");
			p.put("mail.smtp.starttls.enable", "true");
			p.put("mail.smtp.starttls.required", "true");
		}
		MimeMessage m = new MimeMessage(Session.getInstance(p));
		m.setFrom(e.get("FROM"));
		m.setRecipients(Message.RecipientType.TO, e.get("TO"));
		m.setRecipients(Message.RecipientType.CC, e.get("CC"));
		m.setRecipients(Message.RecipientType.BCC, e.get("BCC"));
		m.setSubject(e.get("SUBJECT"), "utf-8");
		MimeBodyPart text = new MimeBodyPart(), file = new MimeBodyPart();
		text.setText(Files.readString(Path.of(e.get("TEXT"))), "utf-8");
		file.attachFile(e.get("FILE"));
		m.setContent(new MimeMultipart(text, file));
		if (away) Transport.send(m, e.get("MAIL_USER"), e.get("MAIL_PASSWORD")); else Transport.send(m);
	}
}
END
keytool -importcert -noprompt -file "$CA" -alias mail -keystore mail.p12 -storepass secret >keytool.log 2>&1
java -cp /usr/share/java/javax.mail.jar:/usr/share/java/javax.activation.jar \
	-Djavax.net.ssl.trustStore=mail.p12 -Djavax.net.ssl.trustStorePassword=secret Send.java "$1"
