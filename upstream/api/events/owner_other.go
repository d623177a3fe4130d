//go:build !unix

package events

func owner(string, string) {}
