-- What gateways that share the database keep there for each other. Rows are few and change often.

CREATE TABLE IF NOT EXISTS fleet_gateways (
	name    text PRIMARY KEY,
	version text NOT NULL,
	since   timestamptz NOT NULL,
	seen    timestamptz NOT NULL,
	lanes   text[] NOT NULL,
	note    text NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE IF NOT EXISTS fleet_turns (
	name text PRIMARY KEY,
	next timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE IF NOT EXISTS fleet_places (
	name    text NOT NULL,
	gateway text NOT NULL,
	have    integer NOT NULL,
	want    integer NOT NULL,
	PRIMARY KEY (name, gateway)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE IF NOT EXISTS fleet_counts (
	name text PRIMARY KEY,
	n    integer NOT NULL,
	ends timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE IF NOT EXISTS fleet_locks (
	name   text PRIMARY KEY,
	holder text NOT NULL,
	until  timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE SEQUENCE IF NOT EXISTS fleet_versions;

CREATE TABLE IF NOT EXISTS fleet_notes (
	name    text PRIMARY KEY,
	value   bytea NOT NULL,
	author  text NOT NULL,
	written timestamptz NOT NULL,
	version bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
