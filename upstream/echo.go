package upstream

import (
	"regexp"
	"strings"
	"unicode"

	"mailhatch/mime"
)

var word = regexp.MustCompile(`[\pL\pN]+`)

func betweenWords(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }

// inDate finds a day, a month, a year, a time or a zone beside another. Every mail has a date, and a refusal may say when
// to come back.
var inDate = regexp.MustCompile(`^(?:\pN\w* (?:\pN\w*|\pL{1,3})|\pL{1,3} \pN\w*)$`)

const answered = 2000 // bytes of an answer that are compared; what is said first is what it is about

// WithoutEcho returns the words of a refusal with x in place of what they may repeat from the mail: each word that has
// the same neighbour, before or after it, in a field or a file name. Whoever wrote the mail must not close an upstream
// for all by what they wrote. Dates stay.
func (m *Mail) WithoutEcho(message string) string {
	return without(message, m.texts())
}

// texts are what a refusal may repeat.
func (m *Mail) texts() (list []string) {
	for _, f := range m.Message.Header {
		list = append(list, mime.DecodeText(f.Value()))
	}
	for _, p := range m.Message.Root.Leaves() {
		list = append(list, p.Name)
	}
	return list
}

func without(message string, texts []string) string {
	message = message[:min(len(message), answered)]
	places := word.FindAllStringIndex(message, -1)
	pairs := make(map[[2]string][]int, len(places)) // to where they begin
	last := ""
	for i, at := range places {
		next := strings.ToLower(message[at[0]:at[1]])
		if pair := [2]string{last, next}; i > 0 && !inDate.MatchString(last+" "+next) {
			pairs[pair] = append(pairs[pair], i-1)
		}
		last = next
	}
	repeated := make([]bool, len(places))
	for _, text := range texts {
		last = ""
		for next := range strings.FieldsFuncSeq(text, betweenWords) {
			next = strings.ToLower(next)
			pair := [2]string{last, next}
			for _, i := range pairs[pair] {
				repeated[i], repeated[i+1] = true, true
			}
			delete(pairs, pair)
			last = next
		}
	}
	var out strings.Builder
	end := 0
	for i, at := range places {
		if repeated[i] {
			out.WriteString(message[end:at[0]] + "x")
			end = at[1]
		}
	}
	return out.String() + message[end:]
}
