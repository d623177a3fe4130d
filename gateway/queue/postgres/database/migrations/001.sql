-- Times are milliseconds since 1970, sizes bytes, states and texts those of package queue/row.

-- The processes that have the store open. slot goes into the ids of messages, so that no two make the same.
CREATE TABLE sessions (
	session text     PRIMARY KEY,
	gateway text     NOT NULL,
	slot    smallint NOT NULL UNIQUE,
	seen    bigint   NOT NULL,
	lanes   text[]   NOT NULL DEFAULT '{}' -- that it delivers
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

-- Rows are written once and deleted once.
CREATE TABLE messages (
	id       bigint PRIMARY KEY,
	received bigint NOT NULL,
	size     bigint NOT NULL,
	crc      bigint NOT NULL,
	info     text   NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_insert_scale_factor = 0.2,
	autovacuum_analyze_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 1);

-- The bytes of messages, in chunks. What fits into a page lies in it; larger chunks lie beside, uncompressed.
CREATE TABLE bodies (
	message bigint NOT NULL,
	n       int    NOT NULL,
	data    bytea  NOT NULL,
	PRIMARY KEY (message, n)
) WITH (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
	autovacuum_vacuum_cost_delay = 1, toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 2000,
	toast.autovacuum_vacuum_cost_delay = 1);
ALTER TABLE bodies ALTER COLUMN data SET STORAGE EXTERNAL;

-- What waits: small, and changed often. No index names what a claim changes, so that its new version stays on the page.
CREATE TABLE parts (
	message     bigint   NOT NULL,
	n           bigint   NOT NULL,
	next_at     bigint   NOT NULL,
	size        bigint   NOT NULL,
	lease_until bigint   NOT NULL DEFAULT 0, -- 0: nobody has it
	fence       int      NOT NULL DEFAULT 0, -- counts the leases
	state       smallint NOT NULL,
	interrupted boolean  NOT NULL DEFAULT false,
	lane        text     NOT NULL,
	holder      text     NOT NULL DEFAULT '', -- session of who leased it last
	info        text     NOT NULL,
	PRIMARY KEY (message, n)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_analyze_scale_factor = 0,
	autovacuum_analyze_threshold = 5000, autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1);
CREATE INDEX parts_due  ON parts (lane, next_at, message, n) WHERE state = 0;
CREATE INDEX parts_rest ON parts (state, next_at) WHERE state <> 0;

-- What became of recipients: one partition for each day on which records were written; they go as a whole.
CREATE SEQUENCE history_seq AS bigint CACHE 1;
CREATE TABLE history (
	day       date     NOT NULL,
	seq       bigint   NOT NULL,
	at        bigint   NOT NULL,
	message   bigint   NOT NULL,
	provider  bigint   NOT NULL, -- hash of the provider's id; 0: none
	message_id bigint  NOT NULL, -- hash of the Message-ID; 0: none
	state     smallint NOT NULL,
	upstream  text     NOT NULL,
	sender    text     NOT NULL, -- these as searches compare them
	recipient text     NOT NULL,
	given     text     NOT NULL,
	subject   text     NOT NULL,
	exact_sender    text NOT NULL,
	exact_recipient text NOT NULL,
	info      text     NOT NULL,
	kept      bytea              -- of a message that went with this record
) PARTITION BY RANGE (day);
ALTER TABLE history ALTER COLUMN kept SET STORAGE EXTENDED;
CREATE INDEX history_place    ON history (seq);
CREATE INDEX history_message  ON history (message);
CREATE INDEX history_provider ON history (provider) WHERE provider <> 0;

-- What happened to messages. seq keeps their order.
CREATE TABLE events (
	message bigint NOT NULL,
	seq     bigint GENERATED ALWAYS AS IDENTITY,
	info    text   NOT NULL,
	PRIMARY KEY (message, seq)
);

-- Messages that have left the queue and whose bodies stay.
CREATE TABLE ended (
	message bigint PRIMARY KEY,
	at      bigint NOT NULL,
	size    bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE quota_used (
	upstream text   NOT NULL,
	at       bigint NOT NULL,
	n        bigint NOT NULL,
	PRIMARY KEY (upstream, at)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
CREATE TABLE quota_open (
	message   bigint NOT NULL,
	upstream  text   NOT NULL,
	recipient text   NOT NULL,
	at        bigint NOT NULL,
	PRIMARY KEY (message, upstream, recipient)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
-- By name, not session: who starts again learns what it counted before.
CREATE TABLE quota_counting (
	gateway   text   PRIMARY KEY,
	upstreams text[] NOT NULL,
	seen      bigint NOT NULL
);

-- Addresses that mail is not offered to; until 0: for good.
CREATE TABLE suppressions (
	address text   NOT NULL,
	domain  text   NOT NULL,
	reason  text   NOT NULL,
	at      bigint NOT NULL,
	until   bigint NOT NULL,
	info    text   NOT NULL,
	PRIMARY KEY (address, domain)
);
CREATE INDEX suppressions_newest ON suppressions (at, address COLLATE "C", domain COLLATE "C");
CREATE INDEX suppressions_until  ON suppressions (until) WHERE until > 0;

CREATE TABLE pauses (
	lane text   PRIMARY KEY,
	at   bigint NOT NULL,
	who  text   NOT NULL
);

-- What providers tell later: how far their logs were taken in, what waits for its record, which news were taken in, and late bounces
-- that no message reports yet, by the number of their record.
CREATE TABLE feedback_cursors (
	upstream text PRIMARY KEY,
	cursor   text NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE feedback_waiting (
	seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	key      text   NOT NULL UNIQUE,
	came     bigint NOT NULL,
	upstream text   NOT NULL,
	info     text   NOT NULL
);
CREATE TABLE feedback_nonces (
	nonce text   PRIMARY KEY,
	at    bigint NOT NULL
);
CREATE TABLE feedback_late (
	seq  bigint PRIMARY KEY,
	at   bigint NOT NULL,
	info text   NOT NULL
);

-- Single values: up to which time the history is gone, the key of hidden addresses.
CREATE TABLE facts (
	name  text  PRIMARY KEY,
	value bytea NOT NULL
);
