package gateway

import "mailhatch/gateway/config"

// needRestart names what a reload changed in the file but cannot change in the running program, which
// goes on with what it had at its start.
func needRestart(old, now *config.Config) []string {
	var list []string
	note := func(changed bool, what string) {
		if changed {
			list = append(list, what+" changed in "+now.File+": that takes a restart")
		}
	}
	note(old.StateDir != now.StateDir, "state_dir")
	note(old.RunDir != now.RunDir, "run_dir")
	note(old.Log != now.Log, "[log]")
	return list
}
