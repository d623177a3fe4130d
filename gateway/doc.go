// Package gateway is the hall of mailhatch: it builds the rooms from a config, runs them, and reloads.
//
// # The map
//
// Mail travels one way:
//
//	socket → smtpd session → accept (identity, rewrite, route for each recipient; queue commit; then 250)
//	       → queue claim → deliver → gate (rate, concurrency, pause) → upstream.Send
//	       → outcome of each recipient → sent | deferred | next upstream | bounce
//
// A bounce is accepted like all mail, with the null sender. That is the only loop.
//
// Imports point downward only, and rooms of one floor do not know each other. plan_test.go has the whole
// plan and checks it.
//
//	cmd             the commands; the program that measures
//	gateway         the hall: gateway.go in the order of a start, reload.go, and what the rooms are lent
//	admin/page      what people see in a browser; below it how mail is shown there (letter), what became of it
//	                (fate), in which words (say), and how charts are drawn (plot)
//	explain fleet   what would become of a message, and why; what holds for all gateways on one queue
//	accept listen admin/mailq
//	                one message's way in; addresses, sockets and their servers; what each account of this machine may know of the
//	                queue. Also upstream/kinds, the table of kinds
//	config deliver admin feedback
//	                the only reader of TOML; due mail to its upstreams; show and steer; what providers tell later. Also the kinds that speak HTTP
//	upstream/oauth  access tokens: got, renewed, kept. Also upstream/api/words, what providers mean by
//	                theirs, upstream/smtp/reply, what a relay answers, and upstream/api/filetype, what files are called
//	admin/api       what programs ask of a running gateway, and how
//	admin/trial feedback/webhook
//	                what became of mail that was made due; requests of providers
//	deliver/waiting deliver/offer admin/find admin/suppressed upstream/raw
//	                why mail waits; what one offer brings; mail found, wherever it is; the list of addresses that get no mail; a message as it is, for the APIs that take it so. Also upstream/api/tokens, for those that take access tokens,
//	                and upstream/api/events, for those whose provider tells later
//	config/decode deliver/gate queue/engines
//	                TOML into structs; when an upstream may be asked; the table of engines. Also upstream/api, smtp and local
//	config/environ config/value admin/search refused suppression alert canary queue/sqlite queue/postgres
//	                a config out of variables; sizes, rates, networks; times and words as people write them; what was refused at the door; who gets no mail, and why; what operators are told; mail that shows whether upstreams deliver; the embedded engine, below it its history and what that hides, its feedback, its pauses, the addresses that get no mail, bodies, database and disk; what rows hold and what later events change in every engine that has a database; the engine that gateways share, below it the same of its own
//	smtpd admin/access admin/crowd admin/openapi admin/sock admin/figures maildrop route identity queue bounce
//	                sessions; who may see what, how many may be idle, how the API is described, and where programs of this machine ask; counts minute by minute; mail left by sendmail; rules; names; what keeps mail; notifications
//	journal systemd upstream smtpd/limit mime/view mime/wire
//	                the operator's events; the service manager; the contract of those who take mail on; what each client may take;
//	                what a reader of a message sees, and what a relay takes
//	envelope backoff backup durable glob meter clock quota web deliver/notices deliver/schedule config/hint
//	mime
//	                the shared nouns; against guessed passwords; the state in one file; files that are whole; patterns; counters and gauges; the time of
//	                day that is believed; windows of the calendar; HTTP servers that end well; how many
//	                notifications senders get; when something is tried again; what a config was meant to say; Internet messages, below them their charsets, transfer encodings and line ends
//
// No room knows the Gateway: each gets as fields what it needs, the config in force among it. upstream
// imports only mime: deliver copies what an upstream needs into upstream.Mail.
//
// What is stored with a message is its envelope, the inputs of routing and its bytes. Routing happens
// at acceptance, to refuse early, and again before each attempt, so that a corrected config heals mail
// that is already queued. Aliases and rewrite rules are part of acceptance: they change what is stored. Aliases
// are followed once more when an operator releases mail.
//
// # A walk-through
//
// A message: listen/listen.go (Set.Run) passes the socket to smtpd/server.go (Server.Serve). The session asks
// accept/handler.go: Sender at MAIL, Recipient at RCPT, Accept after DATA. accept/accept.go (receive, write)
// completes and rewrites the header and writes a draft; accept/parts.go (parts, lane) routes each recipient and
// lets upstreams look (preflight); accept makes it durable, and the client gets 250. A lane of deliver/lane.go (run, claim)
// leases it when deliver/gate/admit.go (Gate.Tokens) allows; deliver/attempt.go routes it again (route) and offers
// it (offer, send); upstream/resend/resend.go (Compose) writes the request that upstream/api/calls.go sends.
//
// A config value, max_concurrent of an upstream: config/decode/lines.go (linesOf) remembers its line,
// config/decode/decode.go (Table) puts it into upstreamTable, config/upstream.go (upstream) checks it and reports what
// is wrong with config/decode/problem.go (Report), which knows the line. delivery.go translates config.Upstream for deliver, where
// gate.Settings gets it. A reload (reload.go, tryReload) prepares listeners, then swaps the config, then
// calls Deliverer.Reload: from then on a new generation of gates counts by the new value.
//
// A provider's error, 429: upstream/api/calls.go (try) reads the answer, upstream/resend/resend.go (Interpret)
// finds the provider's words in it, upstream/api/rules.go (Classify) makes it upstream.Throttled with a RetryAfter.
// deliver/gate/learn.go (Learn) slows the upstream down; deliver/settle.go (settleFailure) plans the next
// attempt, and deliver/result.go (finish) writes that into the queue and the journal, from which
// the log, the metrics and the admin API take it.
package gateway
