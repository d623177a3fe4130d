package config

import (
	"strconv"
	"strings"
)

// lineIndex maps the keys of a TOML text to their lines. Paths look like "listener[0].address".
type lineIndex map[string]int

// at returns the line of the path, or of the nearest table or key around it; 0 when there is none.
func (x lineIndex) at(path string) int {
	for path != "" {
		if line, ok := x[path]; ok {
			return line
		}
		path = parentPath(path)
	}
	return 0
}

// joinPath appends a key to a path; keys that hold a dot, a bracket or a quote are quoted.
func joinPath(path, key string) string {
	if key == "" || strings.ContainsAny(key, `.[]"`) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func indexPath(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// parentPath cuts the last key or index off.
func parentPath(path string) string {
	if strings.HasSuffix(path, `"`) {
		// A quoted key: its dots are part of the name.
		for i := len(path) - 2; i >= 0; i-- {
			if path[i] == '"' && (i == 0 || path[i-1] != '\\') {
				return strings.TrimSuffix(path[:i], ".")
			}
		}
		return ""
	}
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// indexLines scans a TOML text that the TOML library has accepted, so it need not find errors;
// on anything unexpected it goes on with the next byte.
func indexLines(text string) lineIndex {
	s := lineScanner{text: text, line: 1, index: lineIndex{}, arrays: map[string]int{}}
	for s.skipSpace(true); !s.end(); s.skipSpace(true) {
		if s.peek() == '[' {
			s.table()
		} else {
			s.keyValue(s.prefix)
		}
	}
	return s.index
}

type lineScanner struct {
	text   string
	pos    int
	line   int
	prefix string         // path of the table we are in
	arrays map[string]int // arrays of tables: path without index to number of elements
	index  lineIndex
}

func (s *lineScanner) end() bool { return s.pos >= len(s.text) }

func (s *lineScanner) peek() byte {
	if s.end() {
		return 0
	}
	return s.text[s.pos]
}

func (s *lineScanner) next(n int) {
	n = min(n, len(s.text)-s.pos)
	s.line += strings.Count(s.text[s.pos:s.pos+n], "\n")
	s.pos += n
}

// skipSpace skips blanks, and with newlines also line ends and comments.
func (s *lineScanner) skipSpace(newlines bool) {
	for !s.end() {
		switch c := s.peek(); {
		case c == ' ' || c == '\t' || c == '\r', c == '\n' && newlines:
			s.next(1)
		case c == '#' && newlines:
			s.restOfLine()
		default:
			return
		}
	}
}

func (s *lineScanner) restOfLine() {
	n := strings.IndexByte(s.text[s.pos:], '\n')
	if n < 0 {
		n = len(s.text) - s.pos
	}
	s.next(n)
}

func (s *lineScanner) mark(path string) {
	if _, ok := s.index[path]; !ok {
		s.index[path] = s.line
	}
}

// table reads "[a.b]" or "[[a.b]]".
func (s *lineScanner) table() {
	s.next(1)
	array := s.peek() == '['
	if array {
		s.next(1)
	}
	path := ""
	keys := s.keys()
	for i, key := range keys {
		path = joinPath(path, key)
		n, isArray := s.arrays[path]
		if array && i == len(keys)-1 {
			s.mark(path)
			s.arrays[path] = n + 1
			path = indexPath(path, n)
			// The arrays within the new element start anew.
			for inner := range s.arrays {
				if strings.HasPrefix(inner, path+".") {
					delete(s.arrays, inner)
				}
			}
		} else if isArray {
			path = indexPath(path, n-1)
		}
		s.mark(path)
	}
	s.prefix = path
	s.restOfLine()
}

// keys reads a dotted key.
func (s *lineScanner) keys() []string {
	var keys []string
	for {
		s.skipSpace(false)
		start := s.pos
		switch c := s.peek(); c {
		case '"', '\'':
			s.quoted(c)
			keys = append(keys, unquoteKey(s.text[start:s.pos]))
		default:
			n := strings.IndexAny(s.text[s.pos:], ".=] \t\r\n")
			if n < 0 {
				n = len(s.text) - s.pos
			}
			s.next(n)
			keys = append(keys, s.text[start:s.pos])
		}
		s.skipSpace(false)
		if s.peek() != '.' {
			return keys
		}
		s.next(1)
	}
}

func unquoteKey(s string) string {
	if u, err := strconv.Unquote(s); err == nil && s[0] == '"' {
		return u
	}
	return strings.Trim(s, `"'`)
}

func (s *lineScanner) keyValue(path string) {
	before := s.pos
	for _, key := range s.keys() {
		path = joinPath(path, key)
		s.mark(path)
	}
	if s.peek() == '=' {
		s.next(1)
		s.skipSpace(false)
		s.value(path, 0)
	}
	if s.pos == before {
		s.next(1)
	}
}

// maxValueDepth bounds the recursion; deeper values are found by the key around them.
const maxValueDepth = 16

func (s *lineScanner) value(path string, depth int) {
	switch c := s.peek(); {
	case c == '"' || c == '\'':
		s.quoted(c)
	case c == '[' && depth < maxValueDepth:
		s.array(path, depth)
	case c == '{' && depth < maxValueDepth:
		s.inlineTable(path, depth)
	default:
		n := strings.IndexAny(s.text[s.pos:], ",]}#\n")
		if n < 0 {
			n = len(s.text) - s.pos
		}
		s.next(n)
	}
}

func (s *lineScanner) array(path string, depth int) {
	s.next(1)
	for i := 0; ; i++ {
		s.skipSpace(true)
		if s.end() || s.peek() == ']' {
			break
		}
		before := s.pos
		item := indexPath(path, i)
		s.mark(item)
		s.value(item, depth+1)
		s.skipSpace(true)
		if s.peek() == ',' || s.pos == before {
			s.next(1)
		}
	}
	s.next(1)
}

func (s *lineScanner) inlineTable(path string, depth int) {
	s.next(1)
	for {
		s.skipSpace(true)
		if s.end() || s.peek() == '}' {
			break
		}
		before := s.pos
		inner := path
		for _, key := range s.keys() {
			inner = joinPath(inner, key)
			s.mark(inner)
		}
		if s.peek() == '=' {
			s.next(1)
			s.skipSpace(true)
			s.value(inner, depth+1)
		}
		s.skipSpace(true)
		if s.peek() == ',' || s.pos == before {
			s.next(1)
		}
	}
	s.next(1)
}

// quoted passes over a string of any of the four kinds.
func (s *lineScanner) quoted(quote byte) {
	three := strings.Repeat(string(quote), 3)
	if strings.HasPrefix(s.text[s.pos:], three) {
		s.next(3)
		for !s.end() && !strings.HasPrefix(s.text[s.pos:], three) {
			s.escaped(quote)
		}
		s.next(3)
		for s.peek() == quote { // up to two quotes may stand before the closing ones
			s.next(1)
		}
		return
	}
	s.next(1)
	for !s.end() && s.peek() != quote && s.peek() != '\n' {
		s.escaped(quote)
	}
	s.next(1)
}

// escaped passes over one character, or two where a backslash escapes the second.
func (s *lineScanner) escaped(quote byte) {
	if s.peek() == '\\' && quote == '"' {
		s.next(1)
	}
	s.next(1)
}
