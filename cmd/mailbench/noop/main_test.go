package noop

import (
	"testing"

	"mailhatch/cmd/mailbench/benchtest"
)

func TestMain(m *testing.M) { benchtest.Main(m) }
