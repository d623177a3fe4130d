# needs: ruby /usr/lib/ruby/vendor_ruby/mail.rb
# ways: smtp tls sendmail
# carries: cc bcc attachment
cat >mail.rb <<'END'
require 'mail'
e = ENV
settings = {
  'smtp' => [:smtp, { address: e['HOST'], port: e['PORT'].to_i, enable_starttls_auto: false }],
  'tls' => [:smtp, { address: e['HOST'], port: e['TLS_PORT'].to_i, user_name: e['MAIL_USER'], password: e['MAIL_PASSWORD'],
                     authentication: :plain, enable_starttls_auto: true, ca_file: e['CA'] }],
  'sendmail' => [:sendmail, { location: e['SENDMAIL'] }]
}
method, options = settings[ARGV[0]]
m = Mail.new(charset: 'UTF-8', from: e['FROM'], to: e['TO'], cc: e['CC'], bcc: e['BCC'], subject: e['SUBJECT'])
m.body = File.read(e['TEXT'], encoding: 'UTF-8')
m.add_file(e['FILE'])
m.delivery_method(method, options)
m.deliver!
END
/usr/bin/ruby mail.rb "$1"
