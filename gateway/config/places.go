package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"mailhatch/gateway/maildrop"
)

// The directories of the packages; systemd/mailhatch.service makes them.
const (
	packagedConfig   = "/etc/mailhatch/config.toml"
	packagedStateDir = "/var/lib/mailhatch"
	packagedRunDir   = "/run/mailhatch"
)

// SubmitSocket is the name of the submission socket in run_dir. Every account of the machine may
// submit mail there; its name is the user of the mail ("uid:NAME").
const SubmitSocket = "submit.sock"

// SubmitName is the listener of mail that local programs submit by sendmail.
const SubmitName = "submit"

// SubmitPath returns the path of the submission socket.
func (c *Config) SubmitPath() string { return filepath.Join(c.RunDir, SubmitSocket) }

// SubmitListener returns the listener of the submission socket. It allows what the most generous listener allows.
func (c *Config) SubmitListener() *Listener {
	l := &Listener{}
	l.setDefaults()
	l.Address, l.MinRate, l.MaxRecipients = SubmitName, 0, 0
	for i := range c.Listeners {
		l.MaxMessage = max(l.MaxMessage, c.Listeners[i].MaxMessage)
		l.MaxRecipients = max(l.MaxRecipients, c.Listeners[i].MaxRecipients)
	}
	return l
}

// SubmitPlace is where a gateway takes mail of local programs.
type SubmitPlace struct {
	Socket   string // speaks SMTP while the gateway runs
	Maildrop string // takes mail while it does not
}

// SubmitPlaces returns where gateways take mail, for a program that may run in any account and directory, the
// likeliest first. The config is path, else $MAILHATCH_CONFIG, else the packaged one; never a file
// of the working directory, which may belong to another user. What the config does not name, or not to this
// account, is as packaged; without any config a gateway that this account started comes next.
// $STATE_DIRECTORY and $RUNTIME_DIRECTORY are not looked at: here they are those of the calling
// service. The error is about a config that was named and cannot be read for another reason than its
// mode, or is broken before its first table.
func SubmitPlaces(path string) ([]SubmitPlace, error) {
	if path == "" {
		path = os.Getenv("MAILHATCH_CONFIG")
	}
	named := path != ""
	if !named {
		path = packagedConfig
	}
	stateDir, runDir, err := givenDirs(path)
	if err != nil && named && !errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	if stateDir == "" && runDir == "" {
		places := []SubmitPlace{PlaceIn(packagedStateDir, packagedRunDir)}
		if own, err := ownStateDir(); err == nil && !named {
			places = append(places, PlaceIn(own, own))
		}
		return places, nil
	}
	switch {
	case stateDir == "":
		stateDir = packagedStateDir
	case runDir == "" && stateDir == packagedStateDir:
		runDir = packagedRunDir
	case runDir == "":
		runDir = stateDir
	}
	return []SubmitPlace{PlaceIn(stateDir, runDir)}, nil
}

// PlaceIn returns the place of a gateway that has these directories.
func PlaceIn(stateDir, runDir string) SubmitPlace {
	return SubmitPlace{Socket: filepath.Join(runDir, SubmitSocket), Maildrop: filepath.Join(stateDir, maildrop.DirName)}
}

// dropsElsewhere reports whether accounts that may not read the config, and so use the packaged
// directory, leave mail where a gateway with this state_dir never looks.
func dropsElsewhere(config, stateDir, packagedDir string) bool {
	info, err := os.Stat(config)
	if err != nil || worldReadable(info.Mode()) {
		return false
	}
	used, err := os.Stat(packagedDir)
	if err != nil {
		return false // it cannot be left there; sendmail reports that
	}
	given, err := os.Stat(stateDir)
	return err != nil || !os.SameFile(used, given)
}
