package gateway

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	linkTarget = regexp.MustCompile(`\]\(([^)\s]+)\)|(?:href|src|srcset)="([^"]+)"`)
	codeBlock  = regexp.MustCompile("(?ms)^(```|~~~).*?^(```|~~~)|`[^`\n]*`")
	heading    = regexp.MustCompile(`(?m)^#{1,6} +(.*?) *#*$`)
	notInSlug  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// TestLinks: what the documents link to is there: files, and the headings of documents.
func TestLinks(t *testing.T) {
	documents, err := filepath.Glob("../doc/*.md")
	if err != nil {
		t.Fatal(err)
	}
	documents = append(documents, "../README.md", "../CONTRIBUTING.md", "../CHANGELOG.md")
	links := 0
	for _, document := range documents {
		for _, target := range targetsOf(t, document) {
			links++
			if why := deadLink(t, document, target); why != "" {
				t.Errorf("%s links to %s: %s", strings.TrimPrefix(document, "../"), target, why)
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links found", links)
	}
}

// TestIndex: doc/README.md leads to each document once, in a line that says what it is for.
func TestIndex(t *testing.T) {
	documents, err := filepath.Glob("../doc/*.md")
	if err != nil {
		t.Fatal(err)
	}
	index := readDocument(t, "../doc/README.md")
	for _, document := range documents {
		name := filepath.Base(document)
		if n := len(regexp.MustCompile(`(?m)^- \[[^]]+\]\(`+regexp.QuoteMeta(name)+`\): .`).FindAllString(index, -1)); n != 1 && name != "README.md" {
			t.Errorf("doc/README.md has %d entries for %s", n, name)
		}
		if first, _, _ := strings.Cut(readDocument(t, document), "\n"); !strings.HasPrefix(first, "# ") {
			t.Errorf("doc/%s does not begin with its title", name)
		}
	}
}

// targetsOf returns what a document links to within the project.
func targetsOf(t *testing.T, document string) (targets []string) {
	t.Helper()
	for _, m := range linkTarget.FindAllStringSubmatch(codeBlock.ReplaceAllString(readDocument(t, document), ""), -1) {
		target := m[1] + m[2]
		if !strings.Contains(target, "://") && !strings.HasPrefix(target, "mailto:") {
			targets = append(targets, target)
		}
	}
	return targets
}

// deadLink returns why there is nothing at the end of a link; "": there is something.
func deadLink(t *testing.T, document, target string) string {
	t.Helper()
	path, anchor, _ := strings.Cut(target, "#")
	file := document
	if path != "" {
		file = filepath.Join(filepath.Dir(document), path)
	}
	if _, err := os.Stat(file); err != nil {
		return "no such file"
	}
	if anchor != "" && !slices.Contains(anchorsOf(readDocument(t, file)), anchor) {
		return "no such heading"
	}
	return ""
}

// anchorsOf returns the anchors of a document's headings, as the usual renderers of Markdown make them.
func anchorsOf(document string) (anchors []string) {
	fenced := regexp.MustCompile("(?ms)^(```|~~~).*?^(```|~~~)").ReplaceAllString(document, "")
	for _, m := range heading.FindAllStringSubmatch(fenced, -1) {
		text := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(m[1], "$1")
		anchors = append(anchors, strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(text), ""), " ", "-"))
	}
	return anchors
}

func readDocument(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
