//go:build !unix

package maildrop

import (
	"io/fs"
	"os"
)

// Without POSIX owners of files, nobody would know who left a message.

func create(string, fs.FileInfo) (*os.File, error)     { return nil, ErrUnsupported }
func checkSpace(string, int64) error                   { return ErrUnsupported }
func mayWrite(string) error                            { return ErrUnsupported }
func isFull(error) bool                                { return false }
func syncEntry(string, *os.File) error                 { return ErrUnsupported }
func makeDrop(string, string) error                    { return ErrUnsupported }
func checkOwn(string) error                            { return ErrUnsupported }
func openDrop(string) (*os.File, uint32, int64, error) { return nil, 0, 0, ErrUnsupported }
func ownerOf(fs.FileInfo) uint32                       { return 0 }
