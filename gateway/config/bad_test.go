package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the messages of testdata/badconfig anew")

func TestBadConfigs(t *testing.T) {
	t.Chdir("testdata/badconfig")
	files, err := filepath.Glob("*.toml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".toml"), func(t *testing.T) {
			opened := 0
			_, err := Load(file, testOptions(&opened))
			var ce *Error
			if !errors.As(err, &ce) {
				t.Fatalf("error is %T: %v", err, err)
			}
			if opened != 0 {
				t.Errorf("%d upstreams stay open", opened)
			}
			wantFile := strings.TrimSuffix(file, ".toml") + ".want"
			got := err.Error() + "\n"
			if *update {
				writeFile(t, wantFile, got)
			}
			want, err := os.ReadFile(wantFile)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r", ""), got); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/badconfig/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "../../config.example.toml") {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "file:") || strings.Contains(text, "aliases_file") || strings.Contains(text, "_file") {
			t.Skip() // it must not open files that chance names
		}
		opened := 0
		cfg, err := parse("fuzz.toml", text, testOptions(&opened))
		if err == nil {
			_ = cfg.Close()
		}
		if opened != 0 {
			t.Errorf("%d upstreams stay open", opened)
		}
		var ce *Error
		if err != nil && !errors.As(err, &ce) {
			t.Errorf("%T", err)
		}
		if ce != nil {
			for _, p := range ce.Problems {
				if p.Line > strings.Count(text, "\n")+1 || p.Line < 0 {
					t.Errorf("line %d of %q", p.Line, text)
				}
			}
		}
	})
}
