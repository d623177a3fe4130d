package envelope

import (
	"os/user"
	"strconv"
)

// AccountUser returns the Client.User of mail from a local account: "uid:" and its name, or its number
// where it has no name.
func AccountUser(uid uint32) string {
	if name := accountName(uid); name != "" {
		return "uid:" + name
	}
	return "uid:" + strconv.FormatUint(uint64(uid), 10)
}

// Account returns what people call a local account: its name, or "uid 1000" where it has none.
func Account(uid uint32) string {
	if name := accountName(uid); name != "" {
		return name
	}
	return "uid " + strconv.FormatUint(uint64(uid), 10)
}

func accountName(uid uint32) string {
	account, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return ""
	}
	return account.Username
}
