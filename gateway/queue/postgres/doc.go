// Package postgres is the queue engine that several gateways share: a PostgreSQL database, version 14 or later.
//
// # Who does what
//
// Any gateway accepts mail, and any delivers that of the lanes it asks for. What gateways have to know of each other is in
// the database alone. Package database has the connections and the schema, history what became of mail, ledger what
// upstreams have taken, fleet what else gateways keep for each other there.
//
// # Batches
//
// A transaction costs far more than a row. Commit and Finish hand their rows over to a writer, which writes all that wait
// in one transaction: the more come at once, the less each costs, and nobody waits for a timer. Rows travel column by column,
// as arrays that a statement unnests. Claim takes many parts in one statement that passes over what others have locked
// (SKIP LOCKED). Providers are called between transactions, never within one.
//
// # Leases
//
// A claim raises the fence of a part, writes until when it is leased by the database's clock, and who has it. No more than
// Settings.Lease at a time: while the gateway lives, it says so again for all that it has (heartbeat), as long as its
// callers have asked for. What a dead gateway had is due again when that time is over, and then Interrupted, for nobody knows
// what became of its offers. Finish, Extend and Release name the fence: a gateway that slept through the end of its lease
// changes nothing of what another one has now.
//
// # Promises
//
// Commit and Finish return nil after the database has confirmed the COMMIT, and connections on which synchronous_commit is
// off or local are refused: 250 means what the operator's server means by durable, with the standbys it waits for.
// When a connection breaks before the confirmation, nobody knows the outcome; it is asked for then. Of new mail: its rows are
// written once more in a transaction that waits for the first one's end, as ids are unique, and is undone if that turns out to
// have been committed. Of a result: the server knows what became of a transaction by its number (pg_xact_status).
//
// # What changes, and what only grows
//
// Claims, extensions and delays change the rows of parts, which are small, and no index names the changed columns, so that
// the new version of a row stays on its page. Messages and bodies are written once and deleted once. History is
// changed by what providers tell later alone: it has a partition for each day, which is dropped as a whole, and in between a
// horizon hides what is older.
// NOTIFY is for what operators pause and resume alone, as it takes one lock over all commits of the server that use it, and where
// it cannot be heard, as behind a pooler, gateways find out when they ask. A gateway asks every 100 ms whether mail of
// others is due in its lanes, with one statement for all lanes; its own mail wakes it at once. Beyond 50 gateways each asks
// less often, so that all together ask 500 times a second.
//
// Versions of rows that are gone stay while somebody holds a snapshot, such as a long backup. A claim would then read past all
// that were finished since. A claim that took long makes the next ones begin where it found the first row that is
// alive, but for one in twenty parts of the time, which look at all.
package postgres
