package meter

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Sample is one value of a scrape.
type Sample struct {
	Name   string // that of a histogram with _bucket, _sum or _count
	Labels map[string]string
	Value  float64
}

// Read reads what Text returned.
func Read(r io.Reader) ([]Sample, error) {
	var all []Sample
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := readSample(line)
		if err != nil {
			return nil, fmt.Errorf("line %d of the metrics: %w", n, err)
		}
		all = append(all, s)
	}
	return all, lines.Err()
}

func readSample(line string) (Sample, error) {
	s := Sample{}
	end := strings.IndexAny(line, "{ ")
	if end < 1 {
		return s, fmt.Errorf("no value in %q", line)
	}
	rest := ""
	if s.Name, rest = line[:end], line[end:]; rest[0] == '{' {
		s.Labels = map[string]string{}
		for rest[0] != '}' {
			name, value, ok := strings.Cut(rest[1:], "=")
			quoted, err := strconv.QuotedPrefix(value) // the escapes of a label are among Go's
			if !ok || err != nil || len(quoted) == len(value) {
				return s, fmt.Errorf("labels without an end in %q", line)
			}
			if s.Labels[name], err = strconv.Unquote(quoted); err != nil {
				return s, fmt.Errorf("the label %s in %q: %w", name, line, err)
			}
			rest = value[len(quoted):]
		}
		rest = rest[1:]
	}
	var err error
	if s.Value, err = strconv.ParseFloat(strings.TrimSpace(rest), 64); err != nil {
		return s, fmt.Errorf("no value in %q", line)
	}
	return s, nil
}
