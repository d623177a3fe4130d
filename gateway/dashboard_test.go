package gateway

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
)

// dashboard is what of doc/grafana.json names metrics.
type dashboard struct {
	Panels []struct {
		ID      int    `json:"id"`
		Title   string `json:"title"`
		GridPos struct {
			X, Y, W, H int
		} `json:"gridPos"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
}

// expressions returns the queries of the dashboard, with its variables filled in.
func expressions(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("../doc/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	var list []string
	for _, p := range d.Panels {
		if p.Title == "" || seen[p.ID] || p.GridPos.X+p.GridPos.W > 24 || len(p.Targets) == 0 {
			t.Errorf("panel %d %q", p.ID, p.Title)
		}
		seen[p.ID] = true
		for _, target := range p.Targets {
			list = append(list, strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$upstream", ".*").Replace(target.Expr))
		}
	}
	if len(list) < 20 {
		t.Fatalf("only %d queries", len(list))
	}
	return list
}

// TestDashboardsNameMetrics: the dashboard and the rules of doc/ name metrics that there are.
func TestDashboardsNameMetrics(t *testing.T) {
	reg := meter.NewRegistry()
	journal.New(nil, reg)
	names := slices.Concat(reg.Names(), adminMetrics(t), sharedMetrics(t))
	rules, err := os.ReadFile("../doc/prometheus-rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(append(expressions(t), string(rules)), "\n")
	found := regexp.MustCompile(`mailhatch_[a-z_]+`).FindAllString(text, -1)
	if len(found) < 40 {
		t.Fatalf("only %d metrics are named", len(found))
	}
	for _, name := range found {
		if !slices.Contains(names, name) && !slices.Contains(names, strings.TrimSuffix(name, "_bucket")) {
			t.Errorf("there is no metric %s", name)
		}
	}
}

// TestPromtool: Prometheus understands the rules and the queries, and the rules fire when they should.
func TestPromtool(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool (Debian: prometheus) is not installed")
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("check", "rules", "../doc/prometheus-rules.yml")
	run("test", "rules", "testdata/prometheus-rules.test.yml")
	queries := "groups:\n- name: dashboard\n  rules:\n"
	for i, expr := range expressions(t) {
		queries += fmt.Sprintf("  - record: query_%d\n    expr: %q\n", i, expr)
	}
	file := filepath.Join(t.TempDir(), "queries.yml")
	if err := os.WriteFile(file, []byte(queries), 0o600); err != nil {
		t.Fatal(err)
	}
	run("check", "rules", file)
}
