package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// runCompletion prints what makes a shell complete command lines of mailhatch.
func runCompletion(_ context.Context, a *app, args []string) error {
	rest, err := parse(a.flags("completion"), args)
	if err != nil {
		return err
	}
	shells := map[string]func([]commandHelp) string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	if len(rest) != 1 || shells[rest[0]] == nil {
		return usagef("completion: name one of bash, zsh and fish")
	}
	fmt.Fprint(a.stdout, shells[rest[0]](help()))
	return nil
}

// words are the names of commands below another.
func words(list []commandHelp) []string {
	var all []string
	for _, c := range list {
		all = append(all, lastWord(c.name))
	}
	return all
}

func lastWord(name string) string { return name[strings.LastIndexByte(name, ' ')+1:] }

// flatten gives commands and those below them.
func flatten(list []commandHelp) []commandHelp {
	var all []commandHelp
	for _, c := range list {
		all = append(all, c)
		all = append(all, flatten(c.sub)...)
	}
	return all
}

var choicesPattern = regexp.MustCompile(`^\[?([a-z.]+(\|[a-z.]+)+)\]?$`)

// choices are the arguments that a command takes, where they are fixed words.
func (c *commandHelp) choices() []string {
	if m := choicesPattern.FindStringSubmatch(c.args); m != nil {
		return strings.Split(m[1], "|")
	}
	return nil
}

// isFile says whether the value of a flag is the name of a file.
func (f *flagHelp) isFile() bool {
	return f.value == "file" || f.value == "path" || f.value == "directory"
}

// bashCompletion has one case for each command's words and one for its flags with values; files are
// completed where none fits.
func bashCompletion(list []commandHelp) string {
	var wordCases, valueCases strings.Builder
	fmt.Fprintf(&wordCases, "\t'') words='-c --config --help --version %s' ;;\n", strings.Join(words(list), " "))
	for _, c := range flatten(list) {
		var all, files, others []string
		for _, f := range c.flags {
			all = append(all, f.names...)
			for _, name := range f.names {
				switch {
				case f.isFile():
					files = append(files, "'"+c.name+" "+name+"'")
				case f.value != "":
					others = append(others, "'"+c.name+" "+name+"'")
				}
			}
		}
		all = append(append(all, words(c.sub)...), c.choices()...)
		fmt.Fprintf(&wordCases, "\t'%s') words='%s' ;;\n", c.name, strings.Join(all, " "))
		if files != nil {
			fmt.Fprintf(&valueCases, "\t%s) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", strings.Join(files, "|"))
		}
		if others != nil {
			fmt.Fprintf(&valueCases, "\t%s) COMPREPLY=(); compopt +o default 2>/dev/null; return ;;\n", strings.Join(others, "|"))
		}
	}
	return fmt.Sprintf(bashFrame, wordCases.String(), valueCases.String())
}

const bashFrame = `# bash completion of mailhatch; made by: mailhatch completion bash
_mailhatch() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' words='' i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c|--config) ((i++)) ;;
		-*) ;;
		*)
			command+="${command:+ }${COMP_WORDS[i]}"
			[[ $command == queue ]] || break ;;
		esac
	done
	case $command in
%s	esac
	case "$command $prev" in
	' -c'|' --config') COMPREPLY=($(compgen -f -- "$cur")); return ;;
%s	esac
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _mailhatch mailhatch
`

// zshCompletion has a function for each command.
func zshCompletion(list []commandHelp) string {
	var w strings.Builder
	w.WriteString("#compdef mailhatch\n# made by: mailhatch completion zsh\n\n")
	for _, c := range flatten(list) {
		if c.sub != nil {
			zshMenu(&w, "_mailhatch_"+zshName(c.name), "", c.sub)
			continue
		}
		fmt.Fprintf(&w, "_mailhatch_%s() {\n\t_arguments", zshName(c.name))
		for _, f := range c.flags {
			for _, name := range f.names {
				fmt.Fprintf(&w, " \\\n\t\t'*%s[%s]", name, zshText(f.doc))
				switch {
				case f.isFile():
					w.WriteString(":file:_files")
				case f.value != "":
					w.WriteString(":" + zshText(f.value) + ": ")
				}
				w.WriteString("'")
			}
		}
		rest := "*:file:_files"
		if list := c.choices(); list != nil {
			rest = "1:argument:(" + strings.Join(list, " ") + ")"
		}
		fmt.Fprintf(&w, " \\\n\t\t'%s'\n}\n\n", rest)
	}
	zshMenu(&w, "_mailhatch", " \\\n\t\t'(-c --config)'{-c,--config}'[config file]:file:_files'", list)
	w.WriteString("_mailhatch \"$@\"\n")
	return w.String()
}

// zshMenu writes a function that completes the names of commands, then goes on with the one given.
func zshMenu(w *strings.Builder, name, flags string, list []commandHelp) {
	fmt.Fprintf(w, "%s() {\n\tlocal curcontext=$curcontext context state state_descr line\n\ttypeset -A opt_args\n", name)
	fmt.Fprintf(w, "\t_arguments -C%s \\\n\t\t'1:command:->command' '*::argument:->argument'\n\tcase $state in\n\tcommand)\n\t\tlocal -a commands=(\n", flags)
	for _, c := range list {
		fmt.Fprintf(w, "\t\t\t'%s:%s'\n", lastWord(c.name), zshText(c.doc))
	}
	w.WriteString("\t\t)\n\t\t_describe command commands ;;\n\targument)\n\t\tcase $words[1] in\n")
	for _, c := range list {
		fmt.Fprintf(w, "\t\t%s) _mailhatch_%s ;;\n", lastWord(c.name), zshName(c.name))
	}
	w.WriteString("\t\tesac ;;\n\tesac\n}\n\n")
}

func zshName(s string) string { return strings.NewReplacer(" ", "_", "-", "_").Replace(s) }

// zshText keeps a text within single quotes and the brackets of _arguments.
func zshText(s string) string {
	return strings.NewReplacer("'", "’", "[", "\\[", "]", "\\]", ":", "\\:").Replace(s)
}

// fishCompletion has a line for each command and each flag.
func fishCompletion(list []commandHelp) string {
	var w strings.Builder
	w.WriteString("# fish completion of mailhatch; made by: mailhatch completion fish\n")
	none := "not __fish_seen_subcommand_from " + strings.Join(words(list), " ")
	fmt.Fprintf(&w, "complete -c mailhatch -n '%s' -f\n", none)
	fmt.Fprintf(&w, "complete -c mailhatch -n '%s' -s c -l config -rF -d 'config file'\n", none)
	for _, c := range list {
		fmt.Fprintf(&w, "complete -c mailhatch -n '%s' -a %s -d '%s'\n", none, c.name, fishText(c.doc))
		seen := "__fish_seen_subcommand_from " + c.name
		fishFlags(&w, seen, c.flags)
		if list := c.choices(); list != nil {
			fmt.Fprintf(&w, "complete -c mailhatch -n '%s' -f -a '%s'\n", seen, strings.Join(list, " "))
		}
		below := "; and not __fish_seen_subcommand_from " + strings.Join(words(c.sub), " ")
		for _, s := range c.sub {
			fmt.Fprintf(&w, "complete -c mailhatch -n '%s%s' -f -a %s -d '%s'\n", seen, below, lastWord(s.name), fishText(s.doc))
			fishFlags(&w, seen+"; and __fish_seen_subcommand_from "+lastWord(s.name), s.flags)
		}
	}
	return w.String()
}

func fishFlags(w *strings.Builder, condition string, flags []flagHelp) {
	for _, f := range flags {
		fmt.Fprintf(w, "complete -c mailhatch -n '%s'", condition)
		for _, name := range f.names {
			switch short := strings.TrimLeft(name, "-"); {
			case strings.HasPrefix(name, "--"):
				w.WriteString(" -l " + short)
			case len(short) == 1:
				w.WriteString(" -s " + short)
			default:
				w.WriteString(" -o " + short)
			}
		}
		switch {
		case f.isFile():
			w.WriteString(" -rF")
		case f.value != "":
			w.WriteString(" -x")
		}
		fmt.Fprintf(w, " -d '%s'\n", fishText(f.doc))
	}
}

func fishText(s string) string { return strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) }
