package config

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// dirs are the directories that a config names, "" for those it does not.
type dirs struct {
	StateDir string `toml:"state_dir"`
	RunDir   string `toml:"run_dir"`
}

// readPart decodes only the keys that part has; an empty path stands for the built-in defaults.
func readPart(path string, part any) error {
	if path == "" {
		return nil
	}
	text, err := readFile(path)
	if err != nil {
		return err
	}
	return decodePart(path, text, part)
}

func decodePart(path, text string, part any) error {
	var root map[string]any
	if _, err := toml.Decode(text, &root); err != nil {
		return syntaxError(path, err)
	}
	d := decoder{reporter: &reporter{file: path, lines: indexLines(text), bad: map[string]bool{}}, partial: true}
	d.table("", root, part)
	return d.err()
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

// AdminAddress reads only [admin] address of a config; "off" stands for none.
func AdminAddress(path string) (string, error) {
	var part struct {
		Admin struct {
			Address string `toml:"address"`
		} `toml:"admin"`
	}
	err := readPart(path, &part)
	return cmp.Or(part.Admin.Address, DefaultAdmin), err
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
