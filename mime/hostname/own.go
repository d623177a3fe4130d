package hostname

import "strings"

// Local is the name of a machine that has no usable one.
const Local = "localhost"

// Own returns the name of a machine, with its domain where that is known: the system's name, or if that is a short
// one, what hosts, the text of its hosts(5), calls it in full, as `hostname -f` does.
func Own(system, hosts string) string {
	if Check(system) != nil {
		return Local
	}
	if strings.Contains(system, ".") {
		return system
	}
	for line := range strings.SplitSeq(hosts, "\n") {
		line, _, _ = strings.Cut(line, "#")
		names := strings.Fields(line)
		if len(names) < 2 {
			continue
		}
		if full := fullName(system, names[1:]); full != "" {
			return full
		}
	}
	return system
}

// fullName returns the name with a domain among those of one line, if the line is about the machine.
func fullName(system string, names []string) string {
	first, about := "", false
	for _, name := range names {
		short, _, dotted := strings.Cut(name, ".")
		usable := dotted && Check(name) == nil && !strings.EqualFold(short, Local)
		switch {
		case strings.EqualFold(name, system):
			about = true
		case usable && strings.EqualFold(short, system):
			return name
		case usable && first == "":
			first = name
		}
	}
	if !about {
		return ""
	}
	return first
}
