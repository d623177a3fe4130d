-- An autovacuum that is slowed down has these tables for so long that they grow several times beyond what waits; nobody else vacuums
-- a table meanwhile.
ALTER TABLE messages SET (autovacuum_vacuum_cost_delay = 0);
ALTER TABLE bodies   SET (autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_cost_delay = 0);
