package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"mailhatch/gateway/config/decode"
	"mailhatch/gateway/config/environ"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/queue/engines"
	"mailhatch/upstream"
)

// dirs are the directories that a config names, "" for those it does not.
type dirs struct {
	StateDir string `toml:"state_dir"`
	RunDir   string `toml:"run_dir"`
}

// readPart decodes only the keys that part has; an empty path stands for the built-in defaults.
func readPart(path string, part any) error {
	switch path {
	case "":
		return nil
	case Environment:
		return decodePart(path, environ.General(), part)
	}
	text, err := readFile(path)
	if err != nil {
		return err
	}
	return decodePart(path, text, part)
}

func decodePart(path, text string, part any) error {
	d, root, err := decode.Parse(path, text)
	if err != nil {
		return err
	}
	d.Partial = true
	d.Table("", root, part)
	return d.Err()
}

// Dirs reads only state_dir and run_dir of a config, for programs that may not read its secrets or do
// not need them. Mistakes in the rest are ignored.
func Dirs(path string) (stateDir, runDir string, err error) {
	var d dirs
	if err := readPart(path, &d); err != nil {
		return "", "", err
	}
	if stateDir, err = resolveStateDir(path, d.StateDir); err != nil {
		return "", "", err
	}
	return stateDir, resolveRunDir(path, d.RunDir, stateDir), nil
}

// Store reads only where the queue of a config is kept: its engine and, where gateways share a database, its URL.
func Store(path string) (engine string, url upstream.Secret, err error) {
	var part struct {
		Queue struct {
			Engine string          `toml:"engine"`
			URL    upstream.Secret `toml:"url"`
		} `toml:"queue"`
	}
	err = readPart(path, &part)
	return cmp.Or(part.Queue.Engine, engines.Default), part.Queue.URL, err
}

// HealthURL reads only where a config shows the health of its gateway, without a final slash; "" stands for nowhere.
func HealthURL(path string) (string, error) {
	var part struct {
		Admin struct {
			Address string `toml:"address"`
			Metrics string `toml:"metrics"`
			TLS     string `toml:"tls"`
		} `toml:"admin"`
	}
	err := readPart(path, &part)
	switch a := &part.Admin; {
	case err != nil:
		return "", err
	case a.Metrics != "":
		return "http://" + a.Metrics, nil
	case a.Address == "off":
		return "", nil
	case a.TLS == "implicit":
		return "https://" + cmp.Or(a.Address, DefaultAdmin), nil
	default:
		return "http://" + cmp.Or(a.Address, DefaultAdmin), nil
	}
}

// KeptDirs returns the directories that a new config at path should name too: those of the config that is
// there, the packaged ones for the packaged config, else "", which is for the defaults.
func KeptDirs(path string) (stateDir, runDir string) {
	stateDir, runDir, err := givenDirs(path)
	if err != nil && path == packagedConfig {
		return packagedStateDir, packagedRunDir
	}
	return stateDir, runDir
}

// givenDirs reads the directories that a config names, "" for those it does not. A mistake that somebody
// makes in the tables must not stop the mail of other programs, so that the lines before them are enough.
func givenDirs(path string) (stateDir, runDir string, err error) {
	var d dirs
	if err := readPart(path, &d); err != nil {
		text, readErr := readFile(path)
		if readErr != nil {
			return "", "", readErr
		}
		if decodePart(path, beforeTables(text), &d) != nil {
			return "", "", err
		}
	}
	if d.StateDir != "" {
		stateDir = resolvePath(path, d.StateDir)
	}
	if d.RunDir != "" {
		runDir = resolvePath(path, d.RunDir)
	}
	return stateDir, runDir, nil
}

var firstTable = regexp.MustCompile(`(?m)^[ \t]*\[`)

// beforeTables returns the lines of a config up to its first table: both directories stand there.
func beforeTables(text string) string {
	if at := firstTable.FindStringIndex(text); at != nil {
		return text[:at[0]]
	}
	return text
}

// ownStateDir is the state_dir of a gateway that this account starts without a config.
func ownStateDir() (string, error) {
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "state", "mailhatch"), err
}

func resolveStateDir(config, given string) (string, error) {
	if given != "" {
		return resolvePath(config, given), nil
	}
	// systemd.exec(5): a list with colons when there are several.
	if dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); dir != "" {
		return dir, nil
	}
	own, err := ownStateDir()
	if err != nil {
		return "", fmt.Errorf("state_dir has no default here: %w", err)
	}
	return own, nil
}

func resolveRunDir(config, given, stateDir string) string {
	if given != "" {
		return resolvePath(config, given)
	}
	if dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); dir != "" {
		return dir
	}
	return stateDir
}

// resolvePath makes a path absolute: "~/" is the home directory, relative paths start at the config file.
func resolvePath(config, path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	abs, err := filepath.Abs(filepath.Join(filepath.Dir(config), path))
	if err != nil {
		return path
	}
	return abs
}

// The directories of the packages; systemd/mailhatch.service makes them.
const (
	packagedConfig   = "/etc/mailhatch/config.toml"
	packagedStateDir = "/var/lib/mailhatch"
	packagedRunDir   = "/run/mailhatch"
)

// IsPackaged reports whether path is the config that the service of the packages reads.
func IsPackaged(path string) bool {
	abs, err := filepath.Abs(path)
	return err == nil && abs == packagedConfig
}

// SubmitSocket is the name of the submission socket in run_dir. Every account of the machine may
// submit mail there; its name is the user of the mail ("uid:NAME").
const SubmitSocket = "submit.sock"

// SubmitName is the listener of mail that local programs submit by sendmail.
const SubmitName = "submit"

// BounceName is the listener of the gateway's own notifications.
const BounceName = "bounce"

// SubmitPath returns the path of the submission socket.
func (c *Config) SubmitPath() string { return filepath.Join(c.RunDir, SubmitSocket) }

// SubmitListener returns the listener of the submission socket. It allows what the most generous listener allows.
func (c *Config) SubmitListener() *Listener {
	l := &Listener{}
	l.SetDefaults()
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
