package setup

import "testing"

func TestProgram(t *testing.T) {
	for called, want := range map[string]string{
		"mailhatch": "mailhatch", "bin/mailhatch": "bin/mailhatch", "/opt/mail hatch/mailhatch": "'/opt/mail hatch/mailhatch'", "/tmp/x/setup.test": "mailhatch",
	} {
		if got := program(called); got != want {
			t.Errorf("%s: %s, want %s", called, got, want)
		}
	}
}
