package decode

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"mailhatch/gateway/config/hint"
)

// Parse reads a TOML text and returns its tables with the decoder for them. file is for messages. What is no TOML
// is an *Error.
func Parse(file, text string) (d *Decoder, root map[string]any, err error) {
	if _, err := toml.Decode(text, &root); err != nil {
		return nil, nil, syntaxError(file, text, err)
	}
	return &Decoder{Reporter: &Reporter{File: file, Lines: linesOf(text), Bad: map[string]bool{}}}, root, nil
}

// syntaxError places an error of the TOML library, which stops at the first one.
func syntaxError(file, text string, err error) error {
	problem := Problem{Problem: strings.TrimPrefix(err.Error(), "toml: ")}
	var pe toml.ParseError
	if errors.As(err, &pe) {
		problem.Line, problem.Problem = pe.Position.Line, "TOML: "+pe.Message
		if pe.Message == "" {
			problem.Problem = "TOML: " + strings.TrimPrefix(pe.Error(), "toml: ")
		}
		if strings.Contains(problem.Problem, "already been defined") {
			problem.Key = pe.LastKey
		}
		if strings.Contains(pe.Message, "table") && strings.Contains(pe.Message, `'\n'`) {
			problem.Line-- // the library is in the next line already
		}
		if lines := strings.Split(text, "\n"); problem.Line >= 1 && problem.Line <= len(lines) {
			var words string
			words, problem.Hint = hint.Syntax(lines[problem.Line-1], problem.Problem)
			if words != "" {
				problem.Problem = "TOML: " + words
			}
		}
	}
	return &Error{File: file, Problems: []Problem{problem}}
}

// Lines maps the keys of a TOML text to their lines. Paths look like "listener[0].address".
type Lines map[string]int

// At returns the line of the path, or of the nearest table or key around it; 0 when there is none.
func (x Lines) At(path string) int {
	for path != "" {
		if line, ok := x[path]; ok {
			return line
		}
		path = parent(path)
	}
	return 0
}

// Join appends a key to a path; keys that hold a dot, a bracket or a quote are quoted.
func Join(path, key string) string {
	if key == "" || strings.ContainsAny(key, `.[]"`) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// Index is the path of an item of a list.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// Item is the path of the item of that number, counted from 1, or for 0 of the list as a whole.
func Item(path string, item int) string {
	if item == 0 {
		return path
	}
	return Index(path, item-1)
}

// parent cuts the last key or index off.
func parent(path string) string {
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

// tomlToken matches a string of any of the four kinds, a comment, a punctuation mark, a line end, or a bare word.
var tomlToken = regexp.MustCompile(`(?s)"""(?:\\.|[^\\])*?"""+|'''.*?'''+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|#[^\n]*|[\[\]{},=.\n]|[^\s\[\]{},=.#"']+`)

// linesOf finds the lines of all keys. The TOML library has accepted the text, so that mistakes need not be found.
func linesOf(text string) Lines {
	s := lineScanner{index: Lines{}, arrays: map[string]int{}}
	line, pos := 1, 0
	for _, at := range tomlToken.FindAllStringIndex(text, -1) {
		line += strings.Count(text[pos:at[0]], "\n")
		pos = at[0]
		if text[pos] != '#' {
			s.tokens = append(s.tokens, token{text[pos:at[1]], line})
		}
	}
	table := ""
	for s.skip("\n"); !s.end(); s.skip("\n") {
		if s.peek() == "[" {
			table = s.header()
		} else {
			s.keyValue(table, 0)
		}
	}
	return s.index
}

type token struct {
	text string
	line int
}

type lineScanner struct {
	tokens []token        // those that are left
	arrays map[string]int // arrays of tables: path without index to number of elements
	index  Lines
}

func (s *lineScanner) end() bool { return len(s.tokens) == 0 }

// peek returns the next token; "" at the end.
func (s *lineScanner) peek() string {
	if s.end() {
		return ""
	}
	return s.tokens[0].text
}

// next takes one token.
func (s *lineScanner) next() token {
	if s.end() {
		return token{}
	}
	t := s.tokens[0]
	s.tokens = s.tokens[1:]
	return t
}

func (s *lineScanner) skip(text string) {
	for s.peek() == text {
		s.next()
	}
}

func (s *lineScanner) mark(path string, line int) {
	if _, ok := s.index[path]; !ok {
		s.index[path] = line
	}
}

// header reads "[a.b]" or "[[a.b]]" and returns the path of the table.
func (s *lineScanner) header() string {
	s.next()
	array := s.peek() == "["
	s.skip("[")
	path := ""
	keys := s.keys()
	for i, key := range keys {
		path = Join(path, unquoteKey(key.text))
		n, isArray := s.arrays[path]
		if array && i == len(keys)-1 {
			s.mark(path, key.line)
			s.arrays[path] = n + 1
			path = Index(path, n)
			// The arrays within the new element start anew.
			for inner := range s.arrays {
				if strings.HasPrefix(inner, path+".") {
					delete(s.arrays, inner)
				}
			}
		} else if isArray {
			path = Index(path, n-1)
		}
		s.mark(path, key.line)
	}
	s.skip("]")
	return path
}

// keys reads a dotted key.
func (s *lineScanner) keys() (keys []token) {
	for !s.end() && !strings.Contains("[]{},=\n", s.peek()) {
		if key := s.next(); key.text != "." {
			keys = append(keys, key)
		}
	}
	return keys
}

func unquoteKey(s string) string {
	if u, err := strconv.Unquote(s); err == nil && s[0] == '"' {
		return u
	}
	return strings.Trim(s, `"'`)
}

func (s *lineScanner) keyValue(path string, depth int) {
	for _, key := range s.keys() {
		path = Join(path, unquoteKey(key.text))
		s.mark(path, key.line)
	}
	if s.next().text == "=" {
		s.value(path, depth)
	}
}

// maxValueDepth bounds the recursion; deeper values are found by the key around them.
const maxValueDepth = 16

func (s *lineScanner) value(path string, depth int) {
	open := s.peek()
	if depth == maxValueDepth || open != "[" && open != "{" {
		for !s.end() && !strings.Contains(",]}\n", s.peek()) {
			s.next()
		}
		return
	}
	s.next()
	for i := 0; ; i++ {
		s.skip("\n")
		if s.end() || s.peek() == "]" || s.peek() == "}" {
			break
		}
		if open == "{" {
			s.keyValue(path, depth+1)
		} else {
			item := Index(path, i)
			s.mark(item, s.tokens[0].line)
			s.value(item, depth+1)
		}
		s.skip("\n")
		s.skip(",")
	}
	s.next()
}
