package config

import (
	"fmt"

	"mailhatch/gateway/config/decode"
	"mailhatch/gateway/config/hint"
	"mailhatch/gateway/config/value"
	"mailhatch/upstream"
)

// What is wrong with a config, and the values that its keys have.
type (
	Error    = decode.Error
	Problem  = decode.Problem
	Size     = value.Size
	Rate     = value.Rate
	Network  = value.Network
	FileMode = value.FileMode
)

// The checker's words for what its decoder does.

func (c *checker) report(path, problem, hint string) { c.Report(path, problem, hint) }

func (c *checker) warn(path, format string, args ...any) { c.Warn(path, fmt.Sprintf(format, args...)) }

func (c *checker) isBad(path string) bool { return c.IsBad(path) }

func (c *checker) oneOf(path, value string, allowed ...string) { c.OneOf(path, value, allowed...) }

func joinPath(path, key string) string { return decode.Join(path, key) }

func indexPath(path string, i int) string { return decode.Index(path, i) }

func itemPath(path string, item int) string { return decode.Item(path, item) }

func didYouMean(name string, known []string) string { return hint.DidYouMean(name, known) }

func either(list []string) string { return hint.Either(list) }

// keyPlaces returns the tables of each key, as people write them; "" is the top level.
func keyPlaces(kinds []upstream.Kind) map[string][]string {
	places := map[string][]string{}
	decode.AddPlaces(places, "", &document{})
	structs := []any{&upstreamTable{}}
	for _, k := range kinds {
		structs = append(structs, k.New())
	}
	for key := range decode.Fields(structs...) {
		places[key] = append(places[key], "[upstream.NAME]")
	}
	return places
}
