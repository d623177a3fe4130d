package gateway

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// floors gives each room its floor; doc.go draws the same plan for people.
var floors = map[string]int{
	"mailhatch/cmd/mailhatch":                       9,
	"mailhatch/cmd/mailhatch/machine":               8,
	"mailhatch/cmd/mailhatch/manual":                8,
	"mailhatch/cmd/mailhatch/send":                  8,
	"mailhatch/cmd/mailhatch/sendmail":              8,
	"mailhatch/cmd/mailhatch/submit":                7,
	"mailhatch/cmd/mailhatch/command":               6,
	"mailhatch/cmd/mailhatch/terminal":              6,
	"mailhatch/cmd/mailhatch/terminal/terminaltest": 6,
	"mailhatch/cmd/mailbench":                       13,
	"mailhatch/cmd/mailbench/peers":                 12,
	"mailhatch/cmd/mailbench/soak":                  12,
	"mailhatch/cmd/mailbench/measure":               11,
	"mailhatch/cmd/mailbench/noop":                  11,
	"mailhatch/cmd/mailbench/server":                10,
	"mailhatch/cmd/mailbench/load":                  9,
	"mailhatch/cmd/mailbench/sink":                  9,
	"mailhatch/cmd/mailbench/host":                  8,
	"mailhatch/cmd/mailbench/message":               7,
	"mailhatch/cmd/mailbench/latency":               7,
	"mailhatch/cmd/mailbench/command":               6,
	"mailhatch/cmd/mailbench/benchtest":             10,
	"mailhatch/test/clients":                        6,
	"mailhatch/gateway":                             5,
	"mailhatch/gateway/accept":                      4,
	"mailhatch/gateway/listen":                      4,
	"mailhatch/gateway/systemd":                     1,
	"mailhatch/gateway/deliver":                     3,
	"mailhatch/gateway/admin":                       3,
	"mailhatch/gateway/config":                      3,
	"mailhatch/gateway/deliver/gate":                2,
	"mailhatch/gateway/smtpd":                       2,
	"mailhatch/gateway/route":                       2,
	"mailhatch/gateway/identity":                    2,
	"mailhatch/gateway/queue":                       2,
	"mailhatch/gateway/queue/engines":               2,
	"mailhatch/gateway/queue/sqlite":                2,
	"mailhatch/gateway/queue/queuetest":             2,
	"mailhatch/gateway/bounce":                      2,
	"mailhatch/gateway/maildrop":                    2,
	"mailhatch/upstream/kinds":                      4,
	"mailhatch/upstream/smtp":                       2,
	"mailhatch/upstream/local":                      2,
	"mailhatch/upstream/api":                        2,
	"mailhatch/upstream/upstreamtest":               2,
	"mailhatch/upstream":                            1,
	"mailhatch/gateway/journal":                     1,
	"mailhatch/mime":                                0,
	"mailhatch/mime/mimetest":                       1,
	"mailhatch/gateway/envelope":                    0,
	"mailhatch/gateway/glob":                        0,
}

// doors are the imports within a floor that the plan allows.
var doors = map[[2]string]bool{
	{"mailhatch/gateway/queue/sqlite", "mailhatch/gateway/queue"}:         true,
	{"mailhatch/gateway/queue/engines", "mailhatch/gateway/queue"}:        true,
	{"mailhatch/gateway/queue/engines", "mailhatch/gateway/queue/sqlite"}: true,
	{"mailhatch/gateway/queue/queuetest", "mailhatch/gateway/queue"}:      true,
}

// floorOf finds the floor of a package; kinds of upstreams share one, and need no line of their own.
func floorOf(path string) (floor int, ok bool) {
	if floor, ok = floors[path]; !ok && strings.HasPrefix(path, "mailhatch/upstream/") {
		return 3, true
	}
	return floor, ok
}

func TestImportsPointDownward(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "mailhatch/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&pkg); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(pkg.ImportPath, "/examples/") {
			continue
		}
		floor, ok := floorOf(pkg.ImportPath)
		if !ok {
			t.Errorf("%s is not on the floor plan (gateway/doc.go)", pkg.ImportPath)
			continue
		}
		seen++
		for _, imp := range pkg.Imports {
			if !strings.HasPrefix(imp, "mailhatch/") {
				continue
			}
			if below, _ := floorOf(imp); below >= floor && !doors[[2]string{pkg.ImportPath, imp}] {
				t.Errorf("%s (floor %d) imports %s (floor %d)", pkg.ImportPath, floor, imp, below)
			}
			if pkg.ImportPath == "mailhatch/upstream/api" && imp != "mailhatch/upstream" && imp != "mailhatch/mime" {
				t.Errorf("upstream/api imports %s; it may import upstream and mime only", imp)
			}
			if pkg.ImportPath == "mailhatch/upstream" && imp != "mailhatch/mime" {
				t.Errorf("upstream imports %s; it may import mime only", imp)
			}
			if pkg.ImportPath == "mailhatch/gateway/envelope" {
				t.Errorf("envelope imports %s; it imports nothing of ours", imp)
			}
		}
	}
	if seen < 5 {
		t.Fatalf("only %d packages seen", seen)
	}
}
