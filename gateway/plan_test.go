package gateway

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// plan lists the rooms of the house from the top floor down; doc.go draws it for people. A room imports
// only rooms of lower floors. "*" stands for the rooms of a folder that have no line of their own: a new
// kind of upstream needs none.
var plan = [][]string{
	{"cmd/mailbench"},
	{"cmd/mailbench/peers", "cmd/mailbench/soak"},
	{"cmd/mailbench/measure", "cmd/mailbench/noop", "cmd/mailbench/stepped"},
	{"cmd/mailbench/server", "cmd/mailbench/benchtest"},
	{"cmd/mailbench/load", "cmd/mailbench/sink", "cmd/mailhatch"},
	{
		"cmd/mailbench/host",
		"cmd/mailhatch/machine",
		"cmd/mailhatch/manual",
		"cmd/mailhatch/send",
		"cmd/mailhatch/sendmail",
		"cmd/mailhatch/setup",
		"cmd/mailhatch/top",
	},
	{"cmd/mailbench/message", "cmd/mailbench/latency", "cmd/mailhatch/machine/unit", "cmd/mailhatch/submit"},
	{
		"cmd/mailbench/command",
		"cmd/mailhatch/command",
		"cmd/mailhatch/terminal",
		"cmd/mailhatch/terminal/terminaltest",
		"test/clients",
		"test/manifests",
		"test/scale",
	},
	{"gateway"},
	{"gateway/admin/page"},
	{"gateway/explain", "gateway/fleet"},
	{"gateway/accept", "gateway/listen", "gateway/admin/mailq", "upstream/kinds"},
	{
		"gateway/deliver",
		"gateway/admin",
		"gateway/feedback",
		"gateway/config",
		"upstream/*",
	},
	{"gateway/admin/api"},
	{"gateway/admin/trial", "gateway/feedback/webhook"},
	{"gateway/deliver/waiting", "gateway/deliver/offer", "gateway/admin/find", "gateway/admin/page/fate", "gateway/admin/suppressed", "upstream/raw", "upstream/api/tokens", "upstream/api/events"},
	{
		"gateway/config/decode",
		"gateway/deliver/gate",
		"gateway/queue/engines",
		"gateway/queue/queuetest/feedbacktest",
		"gateway/queue/queuetest/historytest",
		"gateway/queue/queuetest/fleettest",
		"upstream/api",
		"upstream/smtp",
		"upstream/local",
		"upstream/upstreamtest/fakes",
		"upstream/upstreamtest/telling",
	},
	{"gateway/config/environ", "gateway/config/value", "gateway/refused", "gateway/suppression", "gateway/alert", "gateway/canary", "gateway/admin/search", "gateway/queue/sqlite", "gateway/queue/postgres", "gateway/queue/queuetest", "upstream/oauth", "upstream/upstreamtest", "upstream/upstreamtest/hostile", "upstream/upstreamtest/teller", "upstream/api/words", "upstream/smtp/reply"},
	{"gateway/queue/sqlite/feedback", "gateway/queue/postgres/feedback"},
	{"gateway/queue/postgres/bodies", "gateway/queue/postgres/calls", "gateway/queue/postgres/census", "gateway/queue/postgres/choice", "gateway/queue/postgres/clock", "gateway/queue/carry", "gateway/queue/spool", "gateway/queue/told", "gateway/queue/postgres/fleet", "gateway/queue/postgres/history", "gateway/queue/postgres/ledger", "gateway/queue/postgres/parts", "gateway/queue/postgres/upkeep", "gateway/queue/postgres/suppress", "gateway/queue/sqlite/ledger", "gateway/queue/sqlite/history", "gateway/queue/sqlite/pause", "gateway/queue/sqlite/depth", "gateway/queue/sqlite/backup", "gateway/queue/sqlite/salvage", "gateway/queue/sqlite/suppress"},
	{"gateway/queue/veil", "gateway/queue/postgres/batch", "gateway/queue/postgres/database", "gateway/queue/sqlite/database", "gateway/queue/sqlite/bodies", "gateway/queue/row"},
	{"gateway/queue/sqlite/disk"},
	{
		"gateway/admin/access",
		"gateway/admin/crowd",
		"gateway/admin/openapi",
		"gateway/admin/sock",
		"gateway/admin/figures",
		"gateway/admin/page/letter",
		"gateway/smtpd",
		"gateway/route",
		"gateway/identity",
		"gateway/queue",
		"gateway/bounce",
		"gateway/maildrop",
	},
	{
		"gateway/systemd",
		"gateway/journal",
		"upstream",
		"mime/view",
		"mime/wire",
		"mime/mimetest",
		"gateway/smtpd/limit",
		"gateway/queue/sqlite/wal",
		"gateway/queue/sqlite/orphan",
		"gateway/queue/sqlite/pace",
	},
	{
		"gateway/config/bind",
		"gateway/config/hint",
		"gateway/envelope",
		"gateway/backoff",
		"gateway/backup",
		"gateway/budget",
		"gateway/durable",
		"gateway/glob",
		"gateway/meter",
		"gateway/clock",
		"gateway/quota",
		"gateway/web",
		"gateway/deliver/notices",
		"gateway/deliver/schedule",
		"gateway/queue/buffer",
		"gateway/queue/postgres/floor",
		"mime",
		"upstream/smtp/preset",
	},
	{
		"gateway/admin/page/plot",
		"gateway/admin/page/say",
		"mime/charset",
		"mime/hostname",
		"mime/lineend",
		"mime/markup",
		"mime/transfer",
		"test/freeport",
		"gateway/queue/postgres/postgrestest",
		"mime/flowed",
		"upstream/api/filetype",
	},
}

// strict lists the rooms that know less than their floor would allow.
var strict = map[string][]string{
	"gateway/envelope":      {},
	"gateway/smtpd/limit":   {},
	"upstream":              {"mime"},
	"upstream/api":          {"mime", "mime/markup", "mime/view", "mime/wire", "upstream", "upstream/api/filetype", "upstream/api/words"},
	"upstream/api/filetype": {},
	"upstream/api/words":    {"upstream"},
	"upstream/oauth":        {"upstream"},
	"upstream/smtp":         {"mime", "mime/wire", "upstream", "upstream/oauth", "upstream/smtp/preset", "upstream/smtp/reply"},
	"upstream/smtp/reply":   {"upstream"},
	"upstream/local":        {"mime", "mime/view", "mime/wire", "upstream"},
	"upstream/raw":          {"mime", "mime/wire", "upstream", "upstream/api"},
	"upstream/api/tokens":   {"upstream", "upstream/api", "upstream/oauth"},
	"upstream/api/events":   {"upstream", "upstream/api"},
	"upstream/*":            {"mime", "upstream", "upstream/api", "upstream/api/events", "upstream/api/filetype", "upstream/api/tokens", "upstream/oauth", "upstream/raw"},
}

const maxFiles = 15

// moreFiles lists the rooms that may have more files than maxFiles.
var moreFiles = map[string]int{
	"gateway/queue/sqlite": 21,
	"cmd/mailhatch":        1000, // one thin file for each subcommand
}

// place returns the floor of a room, counted from the top, and its line in the plan.
func place(room string) (floor int, line string) {
	for _, line := range []string{room, path.Dir(room) + "/*"} {
		if i := slices.IndexFunc(plan, func(rooms []string) bool { return slices.Contains(rooms, line) }); i >= 0 {
			return i, line
		}
	}
	return -1, ""
}

// rooms returns the files of each package below root, but for tests, examples and test data.
func rooms(root string) (map[string][]string, error) {
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); file != root && (name[0] == '.' || name == "testdata" || name == "examples") {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") {
			dir, err := filepath.Rel(root, filepath.Dir(file))
			if err != nil {
				return err
			}
			found[filepath.ToSlash(dir)] = append(found[filepath.ToSlash(dir)], file)
		}
		return nil
	})
	return found, err
}

// breaches returns what in the tree at root is not as planned.
func breaches(root string) (list []string, err error) {
	found, err := rooms(root)
	if err != nil {
		return nil, err
	}
	for room, files := range found {
		floor, line := place(room)
		if floor < 0 {
			list = append(list, room+" is not on the plan")
			continue
		}
		if n := len(slices.DeleteFunc(slices.Clone(files), isStub)); n > max(maxFiles, moreFiles[room]) {
			list = append(list, fmt.Sprintf("%s has %d files", room, n))
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				return nil, err
			}
			for _, spec := range parsed.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					return nil, err
				}
				imported, ours := strings.CutPrefix(imported, "mailhatch/")
				if !ours {
					continue
				}
				allowed, isStrict := strict[line]
				if below, _ := place(imported); below <= floor || isStrict && !slices.Contains(allowed, imported) {
					list = append(list, fmt.Sprintf("%s (%s) imports %s", room, filepath.Base(file), imported))
				}
			}
		}
	}
	slices.Sort(list)
	return list, nil
}

// isStub reports whether a file is the part of a package for one platform.
func isStub(file string) bool {
	base := strings.TrimSuffix(file, ".go")
	return slices.ContainsFunc([]string{"_unix", "_linux", "_windows", "_bsd", "_darwin", "_other"},
		func(suffix string) bool { return strings.HasSuffix(base, suffix) })
}

func TestPlan(t *testing.T) {
	list, err := breaches("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		t.Error(b)
	}
	found, err := rooms("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range slices.Concat(plan...) {
		if found[line] == nil && !strings.HasSuffix(line, "*") {
			t.Errorf("%s is planned but does not exist", line)
		}
	}
}

// TestWalkThrough: what doc.go names is where it says.
func TestWalkThrough(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(doc), "\n// ", " ")
	found := regexp.MustCompile(`([a-z/]+\.go) \(([\w., ]+)\)`).FindAllStringSubmatch(text, -1)
	if len(found) < 10 {
		t.Fatalf("only %d files found", len(found))
	}
	for _, m := range found {
		file := m[1]
		if !strings.HasPrefix(file, "upstream/") {
			file = "gateway/" + file
		}
		source, err := os.ReadFile("../" + file)
		if err != nil {
			t.Error(err)
		}
		for _, name := range strings.Split(m[2], ", ") {
			name = name[strings.LastIndex(name, ".")+1:]
			if !regexp.MustCompile(`(?m)^func (\(.*?\) )?` + name + `\(`).Match(source) {
				t.Errorf("%s has no function %s", file, name)
			}
		}
	}
}

// TestPlanFindsBreaches plants what the plan forbids.
func TestPlanFindsBreaches(t *testing.T) {
	root := t.TempDir()
	plant := func(file, imports string) {
		t.Helper()
		file = filepath.Join(root, filepath.FromSlash(file))
		text := "package x\n"
		if imports != "" {
			text += "import _ \"mailhatch/" + imports + "\"\n"
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plant("gateway/accept/up.go", "gateway")
	plant("gateway/accept/fine.go", "gateway/queue")
	plant("gateway/accept/fine_test.go", "gateway")
	plant("gateway/listen/sibling.go", "gateway/accept")
	plant("gateway/attic/attic.go", "")
	plant("upstream/resend/borrow.go", "upstream/sendgrid")
	plant("upstream/smtp/strict.go", "gateway/envelope")
	for i := range maxFiles + 1 {
		plant(fmt.Sprintf("gateway/route/f%d.go", i), "")
		plant(fmt.Sprintf("gateway/queue/sqlite/f%d.go", i), "")
	}
	plant("gateway/queue/sqlite/a_linux.go", "")
	got, err := breaches(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"gateway/accept (up.go) imports gateway",
		"gateway/attic is not on the plan",
		"gateway/listen (sibling.go) imports gateway/accept",
		"gateway/route has 16 files",
		"upstream/resend (borrow.go) imports upstream/sendgrid",
		"upstream/smtp (strict.go) imports gateway/envelope",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
