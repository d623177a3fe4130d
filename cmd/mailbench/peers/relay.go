package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"mailhatch/cmd/mailbench/server"
)

// relayModule is decke/smtprelay, a relay without a queue: its client waits for the upstream's answer.
const relayModule = "github.com/decke/smtprelay@latest"

const relayBuildTime = 3 * time.Minute

// needRelay finds decke/smtprelay, or builds it where that is wished, and says so where there is none.
func (b *rig) needRelay(ctx context.Context) {
	if b.servers["smtprelay"] != nil {
		return
	}
	path, err := b.findRelay(ctx)
	if err != nil {
		b.absent = append(b.absent, "decke/smtprelay: "+err.Error())
		return
	}
	b.servers["smtprelay"] = server.SMTPRelay(path)
}

func (b *rig) findRelay(ctx context.Context) (string, error) {
	if b.relay != "" {
		return filepath.Abs(b.relay)
	}
	if path, err := exec.LookPath("smtprelay"); err == nil {
		return filepath.Abs(path)
	}
	if !b.fetch {
		return "", errors.New("it is not in $PATH (-smtprelay names one, -fetch builds it where the module proxy serves it)")
	}
	ctx, cancel := context.WithTimeout(ctx, relayBuildTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "install", relayModule)
	cmd.Env = append(os.Environ(), "GOBIN="+b.dir)
	cmd.Dir = b.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		last := strings.TrimSpace(string(out))
		return "", fmt.Errorf("go install %s: %w: %s", relayModule, err, last[strings.LastIndexByte(last, '\n')+1:])
	}
	return filepath.Join(b.dir, "smtprelay"), nil
}
