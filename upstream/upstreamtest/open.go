package upstreamtest

import (
	"fmt"
	"io"

	"github.com/BurntSushi/toml"

	"mailhatch/upstream"
)

// Open makes an upstream of a kind from settings as they stand in the config.
func Open(kind upstream.Kind, settings string) (upstream.Upstream, error) {
	s := kind.New()
	md, err := toml.Decode(settings, s)
	if err != nil {
		return nil, err
	}
	if len(md.Undecoded()) > 0 {
		return nil, fmt.Errorf("unknown keys %v", md.Undecoded())
	}
	return s.Open(upstream.Env{Name: "test", Hostname: "app.example.com", Version: "test", Stdout: io.Discard})
}
