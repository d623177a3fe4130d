//go:build !unix

package unit

// account is what the service runs as; there is no systemd here.
type account struct {
	name, group string
	uid         int
}

func (u *Unit) lookUp() *account               { return nil }
func (a *account) in(int) bool                 { return true }
func (a *account) refused(string, string) bool { return false }
