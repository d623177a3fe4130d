// Package gateway is the hall of mailhatch: it reads the config and wires the rooms together.
//
// # The map
//
// Mail travels one way:
//
//	socket → smtpd session → Gateway.Accept (identity, rewrite, route for each recipient; queue commit; then 250)
//	       → queue claim → deliver → gate (rate, concurrency, pause) → upstream.Send
//	       → outcome of each recipient → sent | deferred | next upstream | bounce
//
// A bounce enters by the same door as all mail, with the null sender. That is the only loop.
//
// Imports point downward only; rooms of one floor do not know each other. plan_test.go checks it.
//
//	5  cmd, test/clients
//	4  gateway          the hall: gateway.go, config (the only reader of TOML)
//	3  deliver admin    take due mail to its upstreams; show and steer
//	2  smtpd maildrop route identity queue bounce
//	1  journal upstream the operator's events; the contract of those who take mail on
//	0  envelope glob mime
//	                    the shared noun; patterns; Internet messages
//
// queue/sqlite imports queue, queue/engines both. upstream imports only mime: deliver copies what an upstream needs into
// upstream.Mail. Above it stand upstream/api, local and smtp on floor 2, the kinds that speak HTTP on
// floor 3, and on floor 4 upstream/kinds, their table, which only cmd imports.
//
// What is stored with a message is its envelope, the inputs of routing and its bytes. Routing happens
// at acceptance, to refuse early, and again before each attempt, so that a mended config heals mail
// that is already queued. Aliases and rewrite rules are part of acceptance: they change what is stored.
package gateway
