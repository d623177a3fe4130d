// Package send composes a message with files and submits it to the running gateway.
package send

import (
	"fmt"
	"os"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/submit"
	"mailhatch/mime"
)

// Letter is a message to be composed. Addresses may have names; those without a domain are completed
// by the gateway.
type Letter struct {
	From, Subject, Text  string // without From, the account is the sender
	To, Cc, Bcc, ReplyTo command.List
	Attach               command.List // paths
	HTML                 bool         // Text is HTML
}

// sender returns the author: the one that was named, else as sendmail does.
func (l *Letter) sender() (mime.Address, error) {
	if l.From == "" {
		return mime.Address(submit.NewAuthor("", "", os.Getenv)), nil
	}
	list, err := addressList("--from", []string{l.From})
	if err == nil && len(list) != 1 {
		err = command.Usagef("send: --from %q must be one address", l.From)
	}
	if err != nil {
		return mime.Address{}, err
	}
	return list[0], nil
}

// addressList parses addresses of the command line: one a word, or several separated by commas.
func addressList(flag string, words []string) ([]mime.Address, error) {
	var all []mime.Address
	for _, w := range words {
		w = submit.Text(w, os.Getenv)
		list, err := mime.ParseAddressList(w)
		if err == nil && len(list) == 0 {
			err = fmt.Errorf("%q is not an address", w)
		}
		for _, a := range list {
			if err == nil {
				err = submit.CheckAddress(a.Addr)
			}
		}
		if err != nil {
			return nil, command.Hintf(command.Usagef("send: %s: %v", flag, err), `write ann@example.org or "Ann <ann@example.org>"`)
		}
		all = append(all, list...)
	}
	return all, nil
}
