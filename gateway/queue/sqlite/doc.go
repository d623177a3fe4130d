// Package sqlite is the queue engine that is built in: an SQLite database and a folder of larger
// bodies in the state directory.
//
// # What lies where
//
//	queue.db             messages (with small bodies), parts, history, events
//	history.key          the key of the digests that stand for addresses, where the history hides these
//	queue.db-wal         the write-ahead log: what was committed since it was last carried over
//	queue.open           the mark of a process that has the store open: how far the log has come
//	bodies/NNNNNNNN.seg  segments: bodies of middling size, one behind the other
//	bodies/ID.eml        one large body
//	lost+found/          bodies without a row, each with a report
//	queue.lock           the lock of the process that has the store open, and its number
//
// Package queue/row has what the rows hold, history what became of mail and what happened to it, pause the lanes that operators have paused, suppress the addresses that get no mail, depth how many parts wait, pace when results wait for mail, backup copies a store that is in use, salvage what pages of a damaged log hold, ledger what upstreams have taken, bodies the files and segments, database the connections and tables, disk the
// syncs, locks and free space, wal the log and its mark, orphan the trailers and lost+found.
//
// # Who does what
//
// Run is the writer, which makes all changes. It takes the ops that wait, runs them in one
// transaction, waits for its fsync and wakes all callers: the more come at once, the fewer fsyncs each
// costs. An op that fails is left out and the others of its group start again.
// Results of deliveries that come alone wait up to 2 ms for new mail, while mail comes at least that often: with one
// session, which sends its next message when it has the 250 for the last, a message then costs one commit instead of two,
// and no mail waits behind a commit of results. A result is no less durable for it: Finish returns after the fsync, and
// until then the part is leased, so that it counts as interrupted after a crash.
// Questions are answered on connections of their own. Claims are too: a lease lives in memory and
// writes nothing, so a restart frees all leases; lease.go shows why no part is given out twice,
// and interrupted.go which ones a dead process may have been offering. Beside
// the writer one goroutine carries the log over into the database, so that no commit waits for that,
// one checks that the files keep their names, and one removes what a former process left; Run waits for all.
//
// # Promises
//
// Commit and Finish return nil after the fsync of the log (WAL, synchronous=FULL) and not before. A
// body in a file or segment is on stable storage, with the name of that file, before its row is
// committed, and is removed after its message is: a segment when none of its messages is left. Prune
// moves the few bodies that hold a segment back into files of their own. Bodies are compared with their
// CRC-32C and size each time they are opened. A failed write or fsync is not tried again: the store is
// broken from then on, Run returns why, and its process should start anew. A file that is removed or replaced
// while it is open fails the store before another commit is acknowledged: its callers must not be promised what
// goes with that file. A full disk is not a failure: new mail gets
// queue.ErrFull, and the reserve is left to delivery.
//
// # A log that lies
//
// SQLite takes a log that is damaged, cut off or missing for one that holds less, and says nothing. Before it opens
// the database of a process that did not close it, the log is therefore read here (package wal) and compared with the
// mark. More than the one transaction that was being written is missing: the store does not open, nothing is changed,
// and a person decides (queue.ErrDamagedLog). The mark costs 3 µs a commit, a hundredth of its CPU.
//
// Recover rebuilds such a store: it reads the rows in the frames behind the damage, mends a wrong bit with the help of
// the checksum, and puts back what the database does not know, on hold.
//
// # Bodies without a row
//
// Behind each body in a file or a segment stands a trailer, written with it: queue id, envelope, checksum (package
// orphan). A body without one was never acknowledged. A body whose trailer names a message that neither the rows nor
// the history know is set aside. A trailer costs a pwrite; with the check that the file still has its name, 2 % of the
// CPU of a commit.
//
// # No other program
//
// The connections use SQLite's VFS unix-excl, except on Windows: the process locks the database as long as it is open
// and has the index of the log in memory. No other program can hold a lock that the writer waits for, or keep the log
// from being carried over by reading; and each call saves the locks of the file system. The price is that sqlite3
// cannot read the queue of a running gateway.
//
// # Mail that has just come
//
// Most mail is claimed a moment after its commit. The store remembers a message until its first claim, up
// to 1 MiB of them, and that claim reads the index of due parts alone, which saves 4 to 10 % of the CPU of a
// message from socket to relay. The memory is never wrong: the writer fills it before the COMMIT that makes
// the rows visible and empties it if that fails; a claim takes a message out after it has seen its part in
// a snapshot; and only operators change a part that was never claimed, before whose commits everything is
// forgotten. Only messages are remembered whose rows give back exactly the same: one part with all
// recipients, due at once, no progress, all texts UTF-8.
//
// # The history
//
// A record is a row, and with the last record of a message goes what is kept of it: its end writes as many rows as
// without. What the history is searched by is written later, in the background, into sheets of a thousand records,
// column by column (package history). A search reads the columns that it asks of and the records that they name, and
// looks at those records one by one that are in no sheet yet. Sheets are written at a stretch and dropped whole; an
// index of addresses and words would change a page of its own for each record.
//
// # Figures
//
// Measured with `go test -bench .` on two cores of an AMD EPYC and ext4, medians of three runs; the
// ratios are worth more than the numbers. For 4 KiB, one caller commits as fast as the disk takes one
// fdatasync after the other (1.0 of its rate), 16 callers 2.8 times, 64 callers 4.4 times as fast
// (21,000/s), and 64 callers get 3.0 times as many through a whole life (commit, claim, body, finish;
// 11,500/s). A commit costs 0.05 ms of CPU in a group and 0.3 ms alone, a life 0.1 ms. With 480,000
// parts queued, Claim of 64 takes 0.8 ms, Lanes 0.1 ms, Stats 0.7 ms and Open 150 ms, the first three
// no more than with 100,000, and the process has 16 MB from the system.
//
// Bodies up to 8 KiB are a part of their row, those up to 256 KiB go to segments, larger ones to files.
// In the row a body is written twice, page by page, to the log and to the database, but shares its
// fsync. In a segment it is written once, at a stretch, and shares the fdatasync of the segment, which
// runs beside the fsync of others. A file takes two fsyncs of its own. Beside 16 callers row and segment
// cost the same at 8 KiB (0.13 ms of CPU for a commit); at 16 KiB the segment takes 0.63 of the CPU and
// is 1.9 times as fast, at 64 KiB 0.38 and 3 times. One caller alone is 1.2 to 2 times as fast with the
// row up to 16 KiB, as it waits for one fsync instead of two.
//
// A message that is being written has 16 KiB of memory of its own, and all together up to 8 MiB more (a
// 16th of GOMEMLIMIT where that is less). Who finds nothing left of that writes to a file at once.
package sqlite
