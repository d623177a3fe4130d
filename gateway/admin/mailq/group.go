package mailq

import (
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// IsMember reports whether an account, as envelope.Account names it, is in a group, by the machine's lists of users and groups.
func IsMember(account string, gid int) bool {
	look := user.Lookup
	if number, ok := strings.CutPrefix(account, "uid "); ok {
		account, look = number, user.LookupId
	}
	u, err := look(account)
	if err != nil {
		return false
	}
	groups, err := u.GroupIds()
	return err == nil && slices.Contains(groups, strconv.Itoa(gid))
}
