// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv/apiproxy"
)

const (
	// peerProgram is how Terraform knows the other provider.
	peerProgram = "terraform-provider-docker"
	// manyWorkers is from where on what is slow is measured only once.
	manyWorkers = 100
	// commandTime is more than any operation takes.
	commandTime = 10 * time.Minute
)

// measure of one operation of one contestant.
type measure struct {
	seconds float64
	cpu     float64 // seconds, of all the client's programs
	rss     int64   // of the largest of them
}

// sample is one contestant in one round of one case.
type sample struct {
	key     string
	network string
	n       int
	round   int
	ops     map[string]measure
	// calls by operation; only where they were counted.
	calls map[string]apiproxy.Tally
	state int64 // its size after "up"
}

// dockerBench is the docker benchmark at work.
type dockerBench struct {
	set    settings
	tools  *bench
	engine *engine
	proxy  *apiproxy.Proxy
	place  place
	// peerDir holds terraform-provider-docker.
	peerDir string
	// others is how busy the machine was before the measurements.
	others []float64
	notes  []string
	loads  []string
}

func dockerMain(ctx context.Context, set settings) (err error) {
	d := &dockerBench{set: set}
	defer func() { err = errors.Join(err, d.close(ctx)) }()
	if err := d.prepare(ctx); err != nil {
		return err
	}
	begun := time.Now()
	timed, counted, failure := d.measureAll(ctx)
	if len(timed) == 0 {
		return failure
	}
	// What was measured before an interrupt is worth being shown, which says
	// that it was cut off. It is no report that anything is overwritten with.
	ctx = context.WithoutCancel(ctx)
	if failure != nil {
		d.notes = append(d.notes, "The run was cut off: "+failure.Error())
	}
	facts, err := d.facts(ctx, time.Since(begun))
	if err != nil {
		return errors.Join(failure, err)
	}
	f := &figures{set: set, facts: facts, timed: timed, counted: counted}
	text := f.render()
	fmt.Print(text)
	if failure != nil || set.out == "" {
		return failure
	}
	if err := writeReport(set.out, text); err != nil {
		return err
	}
	return writeReport(strings.TrimSuffix(set.out, ".md")+".svg", f.plot())
}

func (d *dockerBench) prepare(ctx context.Context) error {
	root, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	peers := map[string]string{}
	for _, name := range []string{"provider", "compose"} {
		build := exec.CommandContext(ctx, filepath.Join(root, "tools", "peers.sh"), name)
		build.Stderr = os.Stderr
		path, err := build.Output()
		if err != nil {
			return fmt.Errorf("tools/peers.sh %s (run this from the repository's folder): %w", name, err)
		}
		peers[name] = strings.TrimSpace(string(path))
	}
	run := "bench-" + strings.ToLower(rand.Text()[:6])
	if d.engine, err = newEngine(run); err != nil {
		return err
	}
	socket, err := d.engine.socket()
	if err != nil {
		return err
	}
	// A folder of its own, because Terraform takes what begins with the name.
	peerDir, err := os.MkdirTemp("", "dockerparallel-bench-peer-")
	if err != nil {
		return err
	}
	d.place, d.peerDir = place{run: run, image: d.engine.image, compose: peers["compose"]}, peerDir
	if err := os.Symlink(peers["provider"], filepath.Join(peerDir, peerProgram)); err != nil {
		return err
	}
	var overrides string
	for _, registry := range []string{"registry.terraform.io", "registry.opentofu.org"} {
		overrides += fmt.Sprintf("    \"%s/kreuzwerker/docker\" = %q\n", registry, peerDir)
	}
	if d.tools, err = newBench(ctx, overrides); err != nil {
		return err
	}
	if d.place.self, err = os.Executable(); err != nil {
		return err
	}
	d.place.cli = d.tools.cli
	if err := d.engine.importImage(ctx, filepath.Join(d.tools.dir, "node")); err != nil {
		return err
	}
	d.place.imageID = d.engine.imageID
	if !d.set.noCalls {
		d.proxy, err = apiproxy.Start(socket, filepath.Join(d.tools.dir, "engine.sock"))
	}
	return err
}

func (d *dockerBench) close(ctx context.Context) error {
	var err error
	if d.engine != nil {
		err = d.engine.close(ctx)
	}
	if d.proxy != nil {
		d.proxy.Close()
	}
	if d.tools != nil {
		d.tools.close()
	}
	if d.peerDir != "" {
		err = errors.Join(err, os.RemoveAll(d.peerDir))
	}
	return err
}

// absent says whether a contestant is not to be measured at all.
func (d *dockerBench) absent(c *contestant, network string) bool {
	return len(d.set.only) > 0 && c.key != keyRaw && !slices.Contains(d.set.only, c.key) || !c.takesPart(network)
}

// field is who takes part in a round.
func (d *dockerBench) field(round int, network string, n int) []*contestant {
	return slices.DeleteFunc(contestants(), func(c *contestant) bool {
		return d.absent(c, network) || round > 0 && n >= manyWorkers && slices.Contains(d.set.once, c.key)
	})
}

func (d *dockerBench) measureAll(ctx context.Context) (timed, counted []sample, err error) {
	// What the engine reads for the first container it need not read again.
	warmUp := contestants()[0]
	if _, err := d.contest(ctx, warmUp, "none", atOnce(), false); err != nil {
		return timed, counted, err
	}
	for round := range d.set.reps {
		d.loads = append(d.loads, loadAverage())
		for at, network := range d.set.networks {
			for _, n := range d.set.sizes {
				field := d.field(round, network, n)
				// Nobody always comes first, or always after the same.
				for i := range field {
					c := field[(i+round+at)%len(field)]
					s, err := d.try(ctx, c, network, n, false)
					if err != nil {
						return timed, counted, err
					}
					s.round = round
					timed = append(timed, s)
				}
			}
		}
	}
	if d.proxy == nil {
		return timed, nil, nil
	}
	// Once more, so that the proxy costs no time in the others; in one network,
	// because the calls hardly depend on it.
	network := d.set.networks[0]
	for _, n := range d.set.sizes {
		for _, c := range contestants() {
			if d.absent(c, network) || c.key == keyCompose && n >= manyWorkers {
				continue
			}
			s, err := d.try(ctx, c, network, n, true)
			if err != nil {
				return timed, counted, err
			}
			counted = append(counted, s)
		}
	}
	return timed, counted, nil
}

// try measures a contestant and sees that nothing stays behind. What goes
// wrong is a note in the report: an hour's other figures are not lost.
func (d *dockerBench) try(ctx context.Context, c *contestant, network string, n int, calls bool) (sample, error) {
	s, err := d.contest(ctx, c, network, n, calls)
	if ctx.Err() != nil {
		return s, ctx.Err()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		d.notes = append(d.notes, err.Error())
		s.ops = nil
		return s, d.engine.sweep(ctx)
	}
	things, err := d.engine.leftovers(ctx)
	if err != nil || len(things) == 0 {
		return s, err
	}
	d.notes = append(d.notes, fmt.Sprintf("%s left %d things behind with %d workers (%s), the first of them %s", c.name, len(things), n, network, things[0].name))
	return s, d.engine.sweep(ctx)
}

// contest runs all operations of one contestant.
func (d *dockerBench) contest(ctx context.Context, c *contestant, network string, n int, calls bool) (sample, error) {
	s := sample{key: c.key, network: network, n: n, ops: map[string]measure{}, calls: map[string]apiproxy.Tally{}}
	p := d.place
	p.network = network
	dir, err := os.MkdirTemp(d.tools.dir, c.key+"-")
	if err != nil {
		return s, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p.dir = dir
	env := slices.Concat(d.tools.env, []string{"TF_DATA_DIR=" + filepath.Join(dir, "data")})
	if calls {
		env = append(env, "DOCKER_HOST="+d.proxy.Host)
	}
	if c.finds && network != "none" {
		remove, err := d.engine.network(ctx, p.networkName())
		if err != nil {
			return s, err
		}
		defer remove()
	}
	fmt.Fprintf(os.Stderr, "%s  %-6s N=%-3d %s:", time.Now().Format(time.TimeOnly), network, n, c.name)
	defer fmt.Fprintln(os.Stderr)
	was, want, most := 0, 0, 5*time.Second
	for _, op := range dockerOperations() {
		if calls && op == opScale {
			continue // as many calls as "up" has
		}
		workers := n
		if op == opScale || op == opDown && !calls {
			workers = 2 * n
		}
		if op == opHeal {
			if err := d.engine.killOne(ctx); err != nil {
				return s, err
			}
		}
		if err := p.configure(c, workers); err != nil {
			return s, err
		}
		if !calls {
			if busy := settle(ctx, most); busy >= 0 {
				d.others = append(d.others, busy)
			}
		}
		most = 2 * time.Second
		if d.proxy != nil {
			d.proxy.Take()
		}
		m, err := d.command(ctx, dir, env, c.argv(&p, op, was, workers))
		if err != nil {
			return s, fmt.Errorf("%s, %s with %d workers (%s): %w", c.name, op, n, network, err)
		}
		s.ops[op] = m
		if calls {
			s.calls[op] = d.proxy.Take()
		}
		fmt.Fprintf(os.Stderr, " %s %.2f", op, m.seconds)
		if op == opDown {
			break
		}
		want += c.more(was, workers)
		was = workers
		if err := d.check(ctx, want, op); err != nil {
			return s, fmt.Errorf("%s with %d workers (%s): %w", c.name, n, network, err)
		}
		if op == opUp && c.terraform() {
			info, err := os.Stat(filepath.Join(dir, "terraform.tfstate"))
			if err != nil {
				return s, err
			}
			s.state = info.Size()
		}
	}
	return s, nil
}

// check sees that an operation has done what it was to do.
func (d *dockerBench) check(ctx context.Context, want int, op string) error {
	running, other, err := d.engine.workers(ctx)
	if err != nil {
		return err
	}
	if len(running) != want || len(other) > 0 {
		return fmt.Errorf("after %q %d containers run and %d do not, where %d are to run", op, len(running), len(other), want)
	}
	return nil
}

// command runs a program and measures it.
func (d *dockerBench) command(ctx context.Context, dir string, env, argv []string) (measure, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	c := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // our own list
	c.Dir, c.Env = dir, env
	detach(c)
	c.WaitDelay = 20 * time.Second // to end in order after an interrupt
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	begun := time.Now()
	err := c.Run()
	m := measure{seconds: time.Since(begun).Seconds()}
	if err != nil {
		return m, fmt.Errorf("%w: %s", err, complaint(out.String()))
	}
	m.cpu = (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
	m.rss = largest(c.ProcessState)
	return m, nil
}

// complaint is what a program has to say of its failure, without what else it
// says.
func complaint(out string) string {
	lines := strings.FieldsFunc(out, func(r rune) bool { return r == '\n' })
	for i, line := range lines {
		if strings.Contains(line, "Error: ") {
			lines = lines[i:]
			break
		}
	}
	return strings.Join(lines[:min(len(lines), 8)], " ")
}
