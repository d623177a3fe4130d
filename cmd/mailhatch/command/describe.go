package command

import (
	"flag"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// Description is what --help, the manual pages and shell completions show about a command.
type Description struct {
	Name  string // "queue list"
	Args  string
	Doc   string
	Flags []Flag
	Sub   []Description // the commands below it
}

// Flag describes a flag.
type Flag struct {
	Names []string // with their dashes: "-c", "--config"
	Value string   // what the value is; "" for a switch
	Doc   string
}

// String returns the first line of its help.
func (f Flag) String() string {
	s := strings.Join(f.Names, ", ")
	if f.Value != "" {
		s += " " + strings.ToUpper(f.Value)
	}
	return s
}

// Synopsis returns how the command is typed.
func (d *Description) Synopsis() string {
	return strings.TrimSpace("mailhatch " + d.Name + " " + d.Args)
}

// Write writes what --help prints.
func (d *Description) Write(w io.Writer) {
	fmt.Fprintf(w, "usage: %s\n\n%s\n", d.Synopsis(), d.Doc)
	if len(d.Sub) > 0 {
		fmt.Fprint(w, "\ncommands:\n")
	}
	for i := range d.Sub {
		d.Sub[i].WriteLine(w)
	}
	if len(d.Flags) > 0 {
		fmt.Fprint(w, "\nflags:\n")
	}
	for _, f := range d.Flags {
		fmt.Fprintf(w, "  %s\n        %s\n", f, f.Doc)
	}
}

// WriteLine writes the entry of the command in a list.
func (d *Description) WriteLine(w io.Writer) {
	fmt.Fprintf(w, "  %-14s %s\n                 %s\n", lastWord(d.Name), d.Doc, d.Synopsis())
}

func lastWord(name string) string { return name[strings.LastIndexByte(name, ' ')+1:] }

// Flatten returns commands and those below them.
func Flatten(list []Description) []Description {
	var all []Description
	for _, d := range list {
		all = append(all, d)
		all = append(all, Flatten(d.Sub)...)
	}
	return all
}

// Flags describes the flags of a set. Flags that set the same variable are names of one.
func Flags(fs *flag.FlagSet) []Flag {
	var all []Flag
	var values []flag.Value // of all, by the same index
	fs.VisitAll(func(f *flag.Flag) {
		d := describe(f)
		i := slices.IndexFunc(values, func(v flag.Value) bool { return sameValue(v, f.Value) })
		if i < 0 {
			all, values = append(all, d), append(values, f.Value)
			return
		}
		d.Names = append(all[i].Names, d.Names...)
		if !strings.HasPrefix(all[i].Doc, "the same as") {
			d.Value, d.Doc = all[i].Value, all[i].Doc
		}
		all[i] = d
	})
	return all
}

// sameValue reports whether two values set the same variable.
func sameValue(a, b flag.Value) bool {
	return reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b // those of Func are not
}

func describe(f *flag.Flag) Flag {
	value, doc := flag.UnquoteUsage(f)
	if d := f.DefValue; d != "" && d != "0" && d != "false" && !strings.Contains(doc, "default") {
		doc += " (default: " + d + ")"
	}
	return Flag{Names: []string{Dashes(f.Name)}, Value: value, Doc: doc}
}
