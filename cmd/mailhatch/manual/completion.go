package manual

import (
	"fmt"
	"regexp"
	"strings"

	"mailhatch/cmd/mailhatch/command"
)

// Completion returns what makes a shell complete command lines of mailhatch, and false for a shell other
// than bash, zsh and fish.
func Completion(shell string, list []command.Description) (script string, ok bool) {
	list = append(list, help(list))
	switch shell {
	case "bash":
		return bashCompletion(list), true
	case "zsh":
		return zshCompletion(list), true
	case "fish":
		return fishCompletion(list), true
	}
	return "", false
}

// help describes the command of that name: the names of all others are its arguments, and of some the names below these.
func help(list []command.Description) command.Description {
	d := command.Description{Name: "help", Doc: "describe a command and its flags"}
	for _, c := range list {
		d.Sub = append(d.Sub, command.Description{Name: "help " + c.Name, Doc: c.Doc, Args: strings.Join(words(c.Sub), "|")})
	}
	return d
}

// words returns the names of commands below another.
func words(list []command.Description) []string {
	var all []string
	for _, c := range list {
		all = append(all, lastWord(c.Name))
	}
	return all
}

func lastWord(name string) string { return name[strings.LastIndexByte(name, ' ')+1:] }

var choicesPattern = regexp.MustCompile(`^\[?([a-z.]+(\|[a-z.]+)*)\]?$`)

// choices returns the arguments that a command takes, if they are fixed words.
func choices(c *command.Description) []string {
	if m := choicesPattern.FindStringSubmatch(c.Args); m != nil {
		return strings.Split(m[1], "|")
	}
	return nil
}

// isFile reports whether the value of a flag is the name of a file.
func isFile(f *command.Flag) bool {
	return f.Value == "file" || f.Value == "path" || f.Value == "directory"
}

// bashCompletion has one case for each command's words and one for its flags with values; files are
// completed where no word fits.
func bashCompletion(list []command.Description) string {
	var wordCases, valueCases strings.Builder
	fmt.Fprintf(&wordCases, "\t'') words='-c --config --help --version %s' ;;\n", strings.Join(words(list), " "))
	for _, c := range command.Flatten(list) {
		var all, files, others []string
		for _, f := range c.Flags {
			all = append(all, f.Names...)
			value := valueOf(&c, &f)
			for _, name := range f.Names {
				place := "'" + c.Name + " " + name + "'"
				switch {
				case isFile(&f):
					files = append(files, place)
				case !value.isNothing():
					fmt.Fprintf(&valueCases, "\t%s) COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return ;;\n", place, bashWords(value))
				case f.Value != "":
					others = append(others, place)
				}
			}
		}
		all = append(all, words(c.Sub)...)
		argument := argumentOf(&c)
		fmt.Fprintf(&wordCases, "\t'%s') words='%s'", c.Name, strings.Join(append(all, argument.words...), " "))
		if argument.known != "" {
			fmt.Fprintf(&wordCases, "; [[ $cur == -* ]] || words+=\" %s\"", bashWords(argument))
		}
		wordCases.WriteString(" ;;\n")
		if files != nil {
			fmt.Fprintf(&valueCases, "\t%s) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", strings.Join(files, "|"))
		}
		if others != nil {
			fmt.Fprintf(&valueCases, "\t%s) COMPREPLY=(); compopt +o default 2>/dev/null; return ;;\n", strings.Join(others, "|"))
		}
	}
	return fmt.Sprintf(bashFrame, strings.Join(menus(list), "|"), wordCases.String(), valueCases.String())
}

// bashWords returns what bash makes words of within double quotes.
func bashWords(o offer) string {
	if o.known != "" {
		return "$(" + o.ask(`${config:+-c "$config"} `) + ")"
	}
	return strings.Join(o.words, " ")
}

// menus returns the names of commands that have others below them.
func menus(list []command.Description) []string {
	var all []string
	for _, c := range list {
		if c.Sub != nil {
			all = append(all, c.Name)
		}
	}
	return all
}

const bashFrame = `# bash completion of mailhatch; made by: mailhatch completion bash
_mailhatch() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' config='' words='' i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c|--config) ((i++)); config=${COMP_WORDS[i]} ;;
		-*) ;;
		*)
			command+="${command:+ }${COMP_WORDS[i]}"
			case $command in %s) ;; *) break ;; esac ;;
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
func zshCompletion(list []command.Description) string {
	var w strings.Builder
	w.WriteString("#compdef mailhatch\n# made by: mailhatch completion zsh\n\n")
	for _, c := range command.Flatten(list) {
		if c.Sub != nil {
			zshMenu(&w, "_mailhatch_"+zshName(c.Name), "", c.Sub)
			continue
		}
		fmt.Fprintf(&w, "_mailhatch_%s() {\n\t_arguments", zshName(c.Name))
		for _, f := range c.Flags {
			for _, name := range f.Names {
				fmt.Fprintf(&w, " \\\n\t\t'*%s[%s]", name, zshText(f.Doc))
				switch {
				case isFile(&f):
					w.WriteString(":file:_files")
				case !valueOf(&c, &f).isNothing():
					w.WriteString(":" + zshText(f.Value) + ":" + zshWords(valueOf(&c, &f)))
				case f.Value != "":
					w.WriteString(":" + zshText(f.Value) + ": ")
				}
				w.WriteString("'")
			}
		}
		rest := "*:file:_files"
		switch argument := argumentOf(&c); {
		case argument.known != "":
			rest = "*:argument:" + zshWords(argument)
		case argument.words != nil:
			rest = "1:argument:" + zshWords(argument)
		}
		fmt.Fprintf(&w, " \\\n\t\t'%s'\n}\n\n", rest)
	}
	zshMenu(&w, "_mailhatch", " \\\n\t\t'(-c --config)'{-c,--config}'[config file]:file:_files'", list)
	w.WriteString("_mailhatch \"$@\"\n")
	return w.String()
}

// zshWords returns what offers words within a specification of _arguments.
func zshWords(o offer) string {
	if o.known != "" {
		return "{compadd -- $(" + o.ask("") + ")}"
	}
	return "(" + strings.Join(o.words, " ") + ")"
}

// zshMenu writes a function that completes the names of commands, then goes on with the one given.
func zshMenu(w *strings.Builder, name, flags string, list []command.Description) {
	fmt.Fprintf(w, "%s() {\n\tlocal curcontext=$curcontext context state state_descr line\n\ttypeset -A opt_args\n", name)
	fmt.Fprintf(w, "\t_arguments -C%s \\\n\t\t'1:command:->command' '*::argument:->argument'\n\tcase $state in\n\tcommand)\n\t\tlocal -a commands=(\n", flags)
	for _, c := range list {
		fmt.Fprintf(w, "\t\t\t'%s:%s'\n", lastWord(c.Name), zshText(c.Doc))
	}
	w.WriteString("\t\t)\n\t\t_describe command commands ;;\n\targument)\n\t\tcase $words[1] in\n")
	for _, c := range list {
		fmt.Fprintf(w, "\t\t%s) _mailhatch_%s ;;\n", lastWord(c.Name), zshName(c.Name))
	}
	w.WriteString("\t\tesac ;;\n\tesac\n}\n\n")
}

func zshName(s string) string { return strings.NewReplacer(" ", "_", "-", "_").Replace(s) }

// zshText protects a text within single quotes and the brackets of _arguments.
func zshText(s string) string {
	return strings.NewReplacer("'", "’", "[", "\\[", "]", "\\]", ":", "\\:").Replace(s)
}

// fishCompletion has a line for each command and each flag.
func fishCompletion(list []command.Description) string {
	var w strings.Builder
	w.WriteString("# fish completion of mailhatch; made by: mailhatch completion fish\n")
	none := "not __fish_seen_subcommand_from " + strings.Join(words(list), " ")
	fmt.Fprintf(&w, "complete -c mailhatch -n '%s' -f\n", none)
	fmt.Fprintf(&w, "complete -c mailhatch -n '%s' -s c -l config -rF -d 'config file'\n", none)
	for _, c := range list {
		fmt.Fprintf(&w, "complete -c mailhatch -n '%s' -a %s -d '%s'\n", none, c.Name, fishText(c.Doc))
		seen := "__fish_seen_subcommand_from " + c.Name
		fishFlags(&w, seen, &c)
		below := "; and not __fish_seen_subcommand_from " + strings.Join(words(c.Sub), " ")
		for _, s := range c.Sub {
			fmt.Fprintf(&w, "complete -c mailhatch -n '%s%s' -f -a %s -d '%s'\n", seen, below, lastWord(s.Name), fishText(s.Doc))
			fishFlags(&w, seen+"; and __fish_seen_subcommand_from "+lastWord(s.Name), &s)
		}
	}
	return w.String()
}

// fishWords returns the words that fish offers.
func fishWords(o offer) string {
	if o.known != "" {
		return "(" + o.ask("") + ")"
	}
	return strings.Join(o.words, " ")
}

// fishFlags writes a line for each flag of a command, and one for its arguments.
func fishFlags(w *strings.Builder, condition string, c *command.Description) {
	if argument := argumentOf(c); !argument.isNothing() {
		fmt.Fprintf(w, "complete -c mailhatch -n '%s' -f -a '%s'\n", condition, fishWords(argument))
	}
	for _, f := range c.Flags {
		fmt.Fprintf(w, "complete -c mailhatch -n '%s'", condition)
		for _, name := range f.Names {
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
		case isFile(&f):
			w.WriteString(" -rF")
		case !valueOf(c, &f).isNothing():
			w.WriteString(" -xa '" + fishWords(valueOf(c, &f)) + "'")
		case f.Value != "":
			w.WriteString(" -x")
		}
		fmt.Fprintf(w, " -d '%s'\n", fishText(f.Doc))
	}
}

func fishText(s string) string { return strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) }
