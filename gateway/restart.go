package gateway

import (
	"reflect"
	"slices"
)

// needRestart names what a reload changed in the file but cannot change in the running program: it has
// its addresses, directories and limits from the start. Passwords and allow_from follow a reload.
func needRestart(old, now *Config) []string {
	var list []string
	note := func(changed bool, what string) {
		if changed {
			list = append(list, what+" changed in "+now.File+": that takes a restart")
		}
	}
	note(old.StateDir != now.StateDir, "state_dir")
	note(old.RunDir != now.RunDir, "run_dir")
	note(old.Hostname != now.Hostname, "hostname")
	note(old.Admin != now.Admin, "[admin]")
	note(old.Log != now.Log, "[log]")
	note(old.MaxInFlight != now.MaxInFlight, "max_in_flight")
	note(!slices.EqualFunc(old.Listeners, now.Listeners, sameListener), "a [[listener]]")
	return list
}

func sameListener(a, b ListenerConfig) bool {
	a.Users, b.Users = nil, nil
	return reflect.DeepEqual(a, b)
}
