// Package terminal formats what people read on a terminal, and asks what a file is connected to.
package terminal
