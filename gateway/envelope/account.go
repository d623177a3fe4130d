package envelope

import (
	"os/user"
	"strconv"
)

// AccountUser returns the Client.User of mail from a local account: "uid:" and its name, or its number
// where it has no name.
func AccountUser(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if account, err := user.LookupId(id); err == nil {
		return "uid:" + account.Username
	}
	return "uid:" + id
}
