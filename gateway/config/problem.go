package config

import (
	"fmt"
	"reflect"

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
	Setting  = decode.Setting
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
	common := decode.Fields(&upstreamTable{})
	for key := range common {
		places[key] = append(places[key], "[upstream.NAME]")
	}
	types, inner := map[string][]string{}, map[string]reflect.Type{}
	for _, k := range kinds {
		for key, field := range decode.Fields(k.New()) {
			if _, ok := common[key]; !ok {
				types[key] = append(types[key], k.Name)
			}
			if t := field.Type(); t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct {
				inner[key] = t.Elem()
			}
		}
	}
	const several = 3
	for key, names := range types {
		place := "[upstream.NAME] of some types"
		if len(names) <= several {
			place = "[upstream.NAME] of type = " + hint.Either(names)
		}
		places[key] = append(places[key], place)
	}
	for key, t := range inner {
		decode.AddPlaces(places, "[upstream.NAME."+key+"]", reflect.New(t).Interface())
	}
	return places
}
