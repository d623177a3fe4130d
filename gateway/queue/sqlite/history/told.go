package history

import (
	"encoding/binary"
	"io"
	"sort"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/database"
)

// Stored is a record with its number.
type Stored struct {
	Seq int64
	row.Record
}

// Scan reads the columns seq, at, message, state, sender, recipient and info.
func Scan(s *sqlite.Stmt) Stored { return Stored{s.ColumnInt64(0), scanRecord(s)} }

const (
	recordsOfMessage = recordColumns + "INDEXED BY history_message WHERE message = ?+0 ORDER BY seq" // +0: see dueQuery of sqlite
	setState         = "UPDATE history SET state = ?, info = ? WHERE seq = ?"
	sheetOf          = "SELECT key, last FROM sheets WHERE key <= ? ORDER BY key DESC LIMIT 1"
)

// OfMessage reads the records of a message.
func OfMessage(conn *sqlite.Conn, message int64) (list []Stored, err error) {
	err = database.Rows(conn, recordsOfMessage, database.Args{message}, func(s *sqlite.Stmt) (bool, error) {
		list = append(list, Scan(s))
		return true, nil
	})
	return list, err
}

// Record reads one; nil: it is gone.
func Record(conn *sqlite.Conn, seq int64) (r *Stored, err error) {
	err = database.Rows(conn, recordOf, database.Args{seq}, func(s *sqlite.Stmt) (bool, error) {
		stored := Scan(s)
		r = &stored
		return false, nil
	})
	return r, err
}

// SetState writes the state of a record anew, and what else it holds. It runs in the writer.
func (k *Keeper) SetState(conn *sqlite.Conn, r *Stored) error {
	k.told.Store(true)
	err := database.Exec(conn, setState, database.Args{r.State, r.Info, r.Seq})
	if err != nil {
		return err
	}
	key, last := int64(-1), int64(-1)
	err = database.Rows(conn, sheetOf, database.Args{r.Seq<<keyShift | int64(factsColumn)}, func(s *sqlite.Stmt) (bool, error) {
		key, last = s.ColumnInt64(0)>>keyShift<<keyShift, s.ColumnInt64(1)
		return false, nil
	})
	if err != nil || last < r.Seq {
		return err // it is in no sheet yet
	}
	return setSheetState(conn, key, r.Seq, byte(r.State))
}

// setSheetState changes one byte of a sheet.
func setSheetState(conn *sqlite.Conn, key, seq int64, state byte) (err error) {
	blob, err := conn.OpenBlob("", "sheets", "data", key|int64(factsColumn), true)
	if err != nil {
		return err
	}
	defer func() {
		if e := blob.Close(); err == nil {
			err = e
		}
	}()
	want, number := uint32(seq-key>>keyShift), make([]byte, 4)
	at := func(i int) uint32 {
		if err == nil {
			_, err = blob.Seek(int64(i*factBytes), io.SeekStart)
		}
		if err == nil {
			_, err = io.ReadFull(blob, number)
		}
		return binary.LittleEndian.Uint32(number)
	}
	i := sort.Search(sheetRecords, func(i int) bool { return at(i) >= want })
	if i == sheetRecords || at(i) != want || err != nil {
		return err
	}
	if _, err = blob.Seek(int64(i*factBytes+stateOffset), io.SeekStart); err == nil {
		_, err = blob.Write([]byte{state})
	}
	return err
}
