//go:build !unix

package unit

// account is the account that the service runs as; systemd does not exist on this platform.
type account struct {
	name, group string
	uid         int
}

func (u *Unit) lookUp() *account               { return nil }
func (a *account) in(int) bool                 { return true }
func (a *account) refused(string, string) bool { return false }
