package terminal

import (
	"errors"
	"io"
	"os"

	"golang.org/x/term"
)

// Full is a terminal whose whole screen a program has, until it gives it back. The controls are those of ECMA-48 and of
// xterm, which all terminals of today know.
type Full struct {
	out     *os.File
	in      *os.File
	old     *term.State // of in; nil: it is not a terminal
	undo    func()      // what was done to out
	keys    chan byte
	resized chan os.Signal
}

// Interrupt is the key Ctrl-C: a terminal that is taken over sends it as any other.
const Interrupt = 3

// The size of a terminal that does not know its own.
const (
	usualWidth  = 80
	usualHeight = 24
)

const (
	takeOver = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J" // another screen, without a cursor, lines are cut at its edge
	giveBack = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// TakeOver takes the screen of a terminal and, where in is one too, its keys: these are neither shown nor waited for until
// the line ends.
func TakeOver(out, in *os.File) (*Full, error) {
	undo, err := obey(out)
	if err != nil {
		return nil, err
	}
	f := &Full{out: out, in: in, undo: undo, keys: make(chan byte, 16), resized: make(chan os.Signal, 1)}
	if in != nil && term.IsTerminal(int(in.Fd())) {
		old, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			undo()
			return nil, err
		}
		f.old = old
		go f.read() // nothing can interrupt it: it ends with the terminal or the program
	}
	notifyResize(f.resized)
	if _, err := io.WriteString(out, takeOver); err != nil {
		return nil, errors.Join(err, f.GiveBack())
	}
	return f, nil
}

func (f *Full) read() {
	var b [16]byte
	for {
		n, err := f.in.Read(b[:])
		if err != nil {
			return
		}
		for _, key := range b[:n] {
			select {
			case f.keys <- key:
			default: // nobody waits for so many
			}
		}
	}
}

// Keys returns a channel of the bytes that the keys send.
func (f *Full) Keys() <-chan byte { return f.keys }

// Resized returns a channel that has a token after the size has changed, where the system tells.
func (f *Full) Resized() <-chan os.Signal { return f.resized }

// Size returns the columns and lines of now.
func (f *Full) Size() (width, height int) {
	width, height, err := term.GetSize(int(f.out.Fd()))
	if err != nil || width < 1 || height < 1 {
		return usualWidth, usualHeight
	}
	return width, height
}

// Show puts text, with lines that end in CR LF, in place of what is shown. What could control the terminal must have been
// taken out of it.
func (f *Full) Show(text string) error {
	_, err := io.WriteString(f.out, "\x1b[H"+text+"\x1b[J")
	return err
}

// GiveBack shows the screen and the cursor that were there, and makes the keys those of a line again.
func (f *Full) GiveBack() error {
	stopResize(f.resized)
	_, err := io.WriteString(f.out, giveBack)
	f.undo()
	if f.old != nil {
		err = errors.Join(err, term.Restore(int(f.in.Fd()), f.old))
	}
	return err
}
