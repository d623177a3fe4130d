// Command clients sends mail by real programs through a gateway and holds what arrives against what was
// asked for: envelope, recipients, From, subject, text and the hash of the attached file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	binary := flag.String("binary", "bin/mailhatch", "the gateway's `program`")
	cases := flag.String("cases", "test/clients/cases", "`directory` of cases")
	flag.Parse()
	failed, err := run(ctx, *binary, *cases, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		os.Exit(1)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// run runs the cases that are named, or all of them, and prints a line for each.
func run(ctx context.Context, binary, dir string, names []string) (failed int, err error) {
	binary, err = filepath.Abs(binary)
	if err != nil {
		return 0, err
	}
	list, err := readCases(dir, names)
	if err != nil {
		return 0, err
	}
	g, err := startGateway(ctx, binary)
	if err != nil {
		return 0, err
	}
	passed, skipped := 0, 0
	for i := range list {
		c := &list[i]
		missing := c.missing()
		for _, way := range c.ways {
			start := time.Now()
			result, detail := "ok", ""
			if missing != "" {
				result, detail = "skipped", missing+" is not installed"
				skipped++
			} else if err := c.send(ctx, g, way); err != nil {
				result, detail = "FAILED", err.Error()
				failed++
			} else {
				passed++
				detail = c.carried()
			}
			fmt.Printf("%-16s %-9s %-8s %5d ms  %s\n", c.name, way, result, time.Since(start).Milliseconds(),
				strings.ReplaceAll(detail, "\n", "\n    "))
		}
	}
	err = g.noMore(ctx)
	if err = errors.Join(err, g.stop()); err != nil {
		return failed, err
	}
	fmt.Printf("\n%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	return failed, nil
}
