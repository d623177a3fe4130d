package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/test/freeport"
)

// postfixPath is where distributions install Postfix's administration command.
const postfixPath = "/usr/sbin/postfix"

// PostfixMissing reports why Postfix cannot be run here; "" when it can.
func PostfixMissing() string {
	if _, err := os.Stat(postfixPath); err != nil {
		return postfixPath + " is not installed (Debian: apt-get install postfix)"
	}
	if os.Geteuid() != 0 {
		return "Postfix's master must be started by root"
	}
	if _, err := user.Lookup("postfix"); err != nil {
		return err.Error()
	}
	return ""
}

// Postfix is a launcher. Postfix runs with config, queue and data in dir, not the system's; it
// listens on loopback only and hands everything to the sink. What is not needed for that is as Postfix
// has it by default (postconf(5)).
func Postfix(ctx context.Context, dir string, to Target) (*Process, error) {
	if to.Upstream != "smtp" && to.Upstream != "hold" {
		return nil, fmt.Errorf("Postfix cannot hand mail to %s", to.Upstream)
	}
	port, err := freeport.Reserve(ctx)
	if err != nil {
		return nil, err
	}
	conf, daemons, err := writePostfixConfig(ctx, dir, port, to)
	if err != nil {
		return nil, err
	}
	// Makes the queue's folders with the owners Postfix insists on.
	check := exec.CommandContext(ctx, postfixPath, "-c", conf, "check")
	if out, err := check.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("postfix check: %w:\n%s", err, out)
	}
	// master itself, in the foreground (-d) and in a session of its own, rather than `postfix start`:
	// so it is our child, and its end is seen.
	cmd := exec.Command(filepath.Join(daemons, "master"), "-c", conf, "-d")
	cmd.Env = append(os.Environ(), "MAIL_CONFIG="+conf)
	return Start(ctx, cmd, dir, host.Loopback(port))
}

// FlushPostfix has the Postfix that runs in dir offer all its mail now.
func FlushPostfix(ctx context.Context, dir string) error {
	out, err := exec.CommandContext(ctx, "/usr/sbin/postqueue", "-c", filepath.Join(dir, "etc"), "-f").CombinedOutput()
	if err != nil {
		return fmt.Errorf("postqueue -f: %w:\n%s", err, out)
	}
	return nil
}

// writePostfixConfig returns the config folder and the folder of the daemons.
func writePostfixConfig(ctx context.Context, dir string, port int, to Target) (conf, daemons string, err error) {
	out, err := exec.CommandContext(ctx, "/usr/sbin/postconf", "-dh", "daemon_directory").Output()
	if err != nil {
		return "", "", fmt.Errorf("postconf: %w", err)
	}
	daemons = strings.TrimSpace(string(out))
	conf, data := filepath.Join(dir, "etc"), filepath.Join(dir, "data")
	queue := filepath.Join(dir, "queue")
	if err := errors.Join(os.Mkdir(conf, 0o755), os.Mkdir(queue, 0o755), os.Mkdir(data, 0o700)); err != nil {
		return "", "", err
	}
	if err := ownByPostfix(dir, data); err != nil {
		return "", "", err
	}
	restrictions := ""
	if to.Upstream == "hold" { // the hold queue, which nothing but postsuper empties
		restrictions = "smtpd_end_of_data_restrictions = check_client_access static:HOLD\n"
	}
	main := fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %s
data_directory = %s
daemon_directory = %s
myhostname = bench.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:%d
disable_dns_lookups = yes
smtpd_peername_lookup = no
alias_maps =
alias_database =
maillog_file = %s
maillog_file_prefixes = %s
%s`, queue, data, daemons, to.SMTP, filepath.Join(dir, processLog), dir, restrictions)
	err = errors.Join(
		os.WriteFile(filepath.Join(conf, "main.cf"), []byte(main), 0o644),
		os.WriteFile(filepath.Join(conf, "master.cf"), []byte(fmt.Sprintf(postfixServices, port)), 0o644),
	)
	return conf, daemons, err
}

// ownByPostfix gives data to the user postfix and lets that user pass through the folders above it.
func ownByPostfix(dir, data string) error {
	postfix, err := user.Lookup("postfix")
	if err != nil {
		return err
	}
	var uid, gid int
	if _, err := fmt.Sscan(postfix.Uid, &uid); err != nil {
		return err
	}
	if _, err := fmt.Sscan(postfix.Gid, &gid); err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o711), os.Chmod(dir, 0o755), os.Chown(data, uid, gid)); err != nil {
		return err
	}
	return passable(dir)
}

// passable says which folder above dir keeps the user postfix out; Postfix itself would only exit.
func passable(dir string) error {
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("the user postfix may not pass through %s: choose another -dir", dir)
		}
	}
	return nil
}

// postfixServices is the master.cf of the Postfix distribution, less what a relay never uses, unchrooted
// as Postfix itself ships it, and with smtpd on one loopback address.
const postfixServices = `127.0.0.1:%d inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`
