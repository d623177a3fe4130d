package hint

import (
	"fmt"
	"slices"
	"strings"
)

// synonyms are what other programs call a key, by table: "" is the top level, "upstream" each [upstream.NAME].
// All is in lower case with underscores.
var synonyms = map[string]map[string][]string{
	"": {
		"hostname":     {"myhostname", "helo", "ehlo", "helo_name", "ehlo_name", "primary_hostname", "host_name", "servername", "server_name", "fqdn", "me"},
		"state_dir":    {"data_dir", "datadir", "spool", "spool_dir", "spool_directory", "queue_directory", "queue_dir", "storage", "data_directory"},
		"run_dir":      {"runtime_dir", "runtime_directory", "socket_dir"},
		"aliases_file": {"alias_maps", "alias_database", "alias_file", "aliases_path"},
		"log":          {"logging", "logger", "logs"},
		"upstream":     {"upstreams", "provider", "providers", "backend", "backends", "transport", "transports", "outbound", "account", "accounts"},
		"listener":     {"listeners", "server", "servers", "smtpd", "inbound", "bind", "frontend", "input"},
		"route":        {"routes", "routing", "rule", "rules"},
		"rewrite":      {"rewrites", "rewriting"},
		"aliases":      {"alias"},
		"admin":        {"http", "api", "web", "metrics", "health", "management"},
		"identity":     {"sender", "from"},
		"queue":        {"spooler", "retry", "delivery"},
	},
	"listener": {
		"address": {"listen", "listen_address", "listen_addr", "bind", "bind_address", "addr", "host", "port", "ip", "interface", "interfaces", "inet_interfaces",
			"hostname", "server", "socket", "path", "listen_on", "local_interfaces"},
		"tls": {"ssl", "starttls", "security", "encryption", "use_tls", "tls_mode", "smtps", "secure"},
		"cert_file": {"cert", "certificate", "tls_cert", "tls_cert_file",
			"tls_certificate", "ssl_cert", "certfile", "cert_path", "smtpd_tls_cert_file", "fullchain"},
		"key_file":        {"key", "tls_key", "tls_key_file", "private_key", "ssl_key", "keyfile", "key_path", "smtpd_tls_key_file"},
		"auth":            {"authentication", "require_auth", "auth_required", "sasl", "smtpd_sasl_auth_enable", "login"},
		"user":            {"users", "accounts", "credentials"},
		"allow":           {"allowed", "networks", "mynetworks", "trusted_networks", "allow_from", "allowed_networks", "allow_networks", "whitelist", "allowlist", "relay_from_hosts", "permit", "allowed_ips", "clients"},
		"max_message":     {"message_size_limit", "max_size", "max_message_size", "size_limit", "max_message_bytes", "maxsize", "size", "message_size"},
		"max_recipients":  {"max_rcpt", "recipients_max", "smtpd_recipient_limit", "recipient_limit", "max_rcpts"},
		"idle_timeout":    {"timeout", "read_timeout", "smtpd_timeout", "client_timeout", "write_timeout"},
		"proxy_from":      {"proxy_protocol", "proxy", "haproxy", "trusted_proxies"},
		"banner":          {"greeting", "smtpd_banner", "smtp_banner"},
		"max_rate":        {"rate", "rate_limit", "ratelimit"},
		"max_connections": {"connections", "max_clients", "max_conns"},
	},
	"listener.user": {
		"name":       {"user", "username", "login", "id", "account"},
		"password":   {"pass", "passwd", "password_hash", "secret", "hash", "pw"},
		"allow_from": {"from", "senders", "allowed_from", "allow", "sender"},
	},
	"upstream": {
		"type": {"kind", "provider", "driver", "transport", "service", "protocol", "backend"},
		"host": {"server", "hostname", "address", "relayhost", "smarthost", "relay", "relay_host", "smart_host", "mailhub", "smtp_host", "smtp_server", "smtphost", "mail_host", "remote",
			"host_name", "nexthop", "mx", "mail_server", "endpoint"},
		"port":           {"smtp_port", "relay_port", "server_port", "mail_port"},
		"username":       {"user", "login", "auth_user", "authuser", "smtp_user", "smtp_username", "user_name", "account", "sasl_username", "mail_username", "api_user"},
		"password":       {"pass", "passwd", "secret", "auth_pass", "authpass", "smtp_pass", "smtp_password", "sasl_password", "pw", "mail_password"},
		"api_key":        {"key", "apikey", "token", "api_token", "secret", "password", "pass", "auth_token", "access_token", "bearer", "secret_key", "server_token"},
		"tls":            {"ssl", "starttls", "security", "encryption", "use_tls", "tls_starttls", "secure", "usestarttls", "tls_mode", "smtp_tls_security_level", "tls_policy", "use_ssl"},
		"base_url":       {"url", "endpoint", "api_url", "api_base", "baseurl"},
		"quota":          {"quotas", "daily_limit", "monthly_limit", "daily_quota", "monthly_quota", "max_per_day", "limit"},
		"quota_zone":     {"timezone", "time_zone", "quota_timezone", "tz", "zone"},
		"rewrite_from":   {"from", "sender", "default_from", "from_address", "mail_from", "envelope_from", "rewrite_sender", "force_from"},
		"from_domains":   {"domains", "allowed_domains", "sender_domains", "rewritedomain", "allowed_from"},
		"domain":         {"mail_domain", "sending_domain", "mailgun_domain"},
		"ca_file":        {"tls_trust_file", "ca", "cafile", "ca_cert", "ca_bundle", "smtp_tls_cafile", "tls_ca_file", "trust_file"},
		"helo":           {"ehlo", "helo_name", "smtp_helo_name", "hello", "localname"},
		"max_concurrent": {"concurrency", "max_connections", "connections", "parallel", "workers", "pool_size", "max_conns", "destination_concurrency_limit"},
		"rate":           {"rate_limit", "ratelimit", "max_rate", "limit", "throttle"},
		"timeout":        {"connect_timeout", "send_timeout", "read_timeout"},
		"path":           {"file", "directory", "dir", "filename", "folder"},
	},
	"route": {
		"via":         {"upstream", "upstreams", "to_upstream", "relay", "provider", "send_via", "use", "transport", "target", "account", "backend", "action", "deliver", "destination", "next", "relayhost"},
		"from":        {"sender", "mail_from", "envelope_from", "senders", "match_from", "sender_address"},
		"to":          {"recipient", "rcpt", "rcpt_to", "recipients", "match_to", "envelope_to", "domains", "domain"},
		"header_from": {"from_header"},
		"header":      {"headers"},
		"client":      {"ip", "source", "clients", "client_ip", "network", "networks", "src"},
		"user":        {"username", "auth_user", "login", "users"},
		"reject":      {"deny", "refuse", "block", "bounce"},
		"discard":     {"drop", "delete", "blackhole", "ignore"},
		"hold":        {"quarantine", "pause", "freeze"},
		"balance":     {"weights", "weight", "load_balance", "split"},
		"on_failure":  {"fallback", "failover", "on_error", "on_fail"},
	},
	"rewrite": {
		"from":              {"sender", "mail_from", "envelope_from"},
		"to":                {"recipient", "rcpt", "rcpt_to"},
		"set_from":          {"rewrite_from", "header_from_rewrite", "replace_from", "new_from"},
		"set_envelope_from": {"return_path", "set_sender", "mail_from_rewrite", "set_return_path", "bounce_address"},
		"redirect_to":       {"redirect", "rewrite_to", "set_to", "replace_to", "catch_all"},
		"add_bcc":           {"bcc", "always_bcc", "copy_to", "cc"},
		"set_header":        {"headers", "set_headers", "replace_header", "header_set"},
		"add_header":        {"add_headers", "header_add", "append_header"},
		"remove_header":     {"remove_headers", "delete_header", "strip_header", "del_header", "header_remove"},
		"subject_prefix":    {"prefix", "subject_tag", "prepend_subject"},
	},
	"identity": {
		"domain":       {"mydomain", "myorigin", "hostname", "default_domain", "qualify_domain", "mail_domain", "local_domain", "append_domain", "maildomain"},
		"default_from": {"from", "sender", "default_sender", "from_address", "mail_from"},
	},
	"queue": {
		"max_age":        {"lifetime", "expire", "ttl", "maximal_queue_lifetime", "queue_lifetime", "max_lifetime", "expiry", "give_up_after", "bounce_after", "timeout"},
		"retry":          {"retries", "backoff", "retry_interval", "schedule", "delays", "retry_after", "minimal_backoff_time", "queue_run_delay", "interval"},
		"warn_after":     {"delay_warning_time", "delay_warning", "warn", "warning_after"},
		"min_free":       {"queue_minfree", "minfree", "reserve", "min_space"},
		"keep_sent":      {"history", "retention", "keep", "keep_history"},
		"privacy":        {"anonymize", "anonymise", "gdpr", "redact", "log_subject", "log_subjects"},
		"keep_bodies":    {"keep_messages", "keep_mail", "retain_bodies", "archive"},
		"failover_after": {"max_attempts", "attempts", "max_retries"},
		"engine":         {"type", "driver", "backend", "database"},
	},
	"admin": {"address": {"listen", "bind", "addr", "host", "port", "listen_address", "http", "bind_address"},
		"token": {"api_key", "password", "secret", "auth_token", "key", "bearer"}},
	"log": {"level": {"loglevel", "log_level", "verbosity", "debug", "verbose"},
		"format": {"type", "style", "output", "json"}},
}

// elsewhere is what other programs set by a key that has no counterpart of its own, by table.
func elsewhere(table, key string) string {
	const relay = `a relay is an upstream: [upstream.relay] with type = "smtp" and host = "…", and a [[route]] with via = ["relay"]`
	const sender = `senders belong to [identity] default_from, [upstream.NAME] rewrite_from or [[rewrite]]`
	if slices.Contains([]string{"passwordeval", "password_command", "passcmd", "password_cmd", "auth_pass_command", "api_key_command"}, key) {
		return `mailhatch runs no programs: let one write a file, and name it: password = "file:/path"`
	}
	return map[string]map[string]string{
		"": {
			"listen":          `write it as a table: [[listener]] with address = "127.0.0.1:1025"`,
			"port":            `write it as a table: [[listener]] with address = "127.0.0.1:1025"`,
			"address":         `write it as a table: [[listener]] with address = "127.0.0.1:1025"`,
			"inet_interfaces": `write it as a table: [[listener]] with address = "127.0.0.1:25"`,
			"relay":           relay,
			"smtp":            relay, "mail": relay,
			"relayhost": relay, "smarthost": relay,
			"mailhub": relay, "relay_host": relay,
			"host": relay, "remotes": relay,
			"smtp_host": relay, "dsn": relay,
			"url":           relay,
			"mydomain":      `write [identity] with domain = "example.com"`,
			"myorigin":      `write [identity] with domain = "example.com"`,
			"domain":        `write [identity] with domain = "example.com"`,
			"mynetworks":    `write it in the listener: [[listener]] with allow = ["10.0.0.0/8"]`,
			"networks":      `write it in the listener: [[listener]] with allow = ["10.0.0.0/8"]`,
			"default_from":  sender,
			"rewritedomain": sender, "root": `write [aliases] with root = "ops@example.com"`,
			"message_size_limit": `write it in the listener: [[listener]] with max_message = "40MB"`,
			"api_key":            `write it in its upstream: [upstream.main] with type = "resend" and api_key = "env:NAME"`,
			"loglevel":           `write [log] with level = "info"`,
			"log_level":          `write [log] with level = "info"`,
		},
		"listener": {"port": `it is part of address: "127.0.0.1:25"`, "host": `it is part of address: "127.0.0.1:25"`},
		"upstream": {
			"from_name":            `write rewrite_from = "Name <address@example.com>"`,
			"method":               `set type and the keys of that type`,
			"verify":               `certificates are always checked; ca_file names authorities of your own`,
			"insecure":             `certificates are always checked; ca_file names authorities of your own`,
			"tls_certcheck":        `certificates are always checked; ca_file names authorities of your own`,
			"skip_verify":          `certificates are always checked; ca_file names authorities of your own`,
			"insecure_skip_verify": `certificates are always checked; ca_file names authorities of your own`,
			"retry":                "retries are in [queue]",
			"retries":              "retries are in [queue]",
			"max_retries":          "retries are in [queue]",
		},
	}[table][key]
}

// Key returns which of the known keys of a table is meant by one that is none, "" where none is, and what to do.
// present says which keys the table has already: they are not meant. places are the tables in which the key is known.
func Key(table, key string, known []string, present func(string) bool, places []string) (meant, hint string) {
	lower := strings.ToLower(strings.ReplaceAll(key, "-", "_"))
	there := ""
	for _, k := range known {
		if k == lower || slices.Contains(synonyms[table][k], lower) {
			if !present(k) {
				return k, didYouMean(k)
			}
			there = k
		}
	}
	if text := elsewhere(table, lower); text != "" {
		return "", text
	}
	switch {
	case slices.Contains(places, ""):
		return "", "it belongs above the first line in [brackets]: what follows such a line is part of that table"
	case len(places) > 0:
		return "", "it is a key of " + strings.Join(places, " and of ")
	}
	if there != "" {
		return "", fmt.Sprintf("it means the same as %q, which is there", there)
	}
	if k := Nearest(key, known); k != "" {
		return k, didYouMean(k)
	}
	return "", "allowed here: " + strings.Join(known, ", ")
}

func didYouMean(key string) string { return fmt.Sprintf("did you mean %q?", key) }
