package acceptance_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	// The tests that measure a rate to the second are not parallel: they run before the
	// others, and alone. The others wait for rates and deadlines far more than they
	// compute, so that two cores run more than two of them at once. A -parallel that
	// was given stands.
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", "5"); err != nil {
			panic(err)
		}
	}
	defer func() { _ = os.RemoveAll(builtIn) }()
	return m.Run()
}

// full says whether the sizes are those that the promises name.
var full = os.Getenv("FLEET_ACCEPTANCE_FULL") == "1"

// size is how many homes a test has.
func size(usual, promised int) int {
	if full {
		return promised
	}
	return usual
}

// programs are the binaries under test.
type programs struct{ fleetd, fleetctl string }

// builtIn is the folder that build made.
var builtIn string

// build builds the programs once a test binary, as `make build` does, so that its
// build cache serves here.
var build = sync.OnceValues(func() (programs, error) {
	dir, err := os.MkdirTemp("", "fleetd-acceptance-")
	if err != nil {
		return programs{}, err
	}
	builtIn = dir
	args := []string{"build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", dir + string(os.PathSeparator)}
	env := os.Environ()
	if os.Getenv("FLEET_ACCEPTANCE_RACE") == "1" {
		args = append(args, "-race")
	} else {
		env = append(env, "CGO_ENABLED=0")
	}
	cmd := exec.Command("go", append(args, "fleetd/cmd/fleetd", "fleetd/cmd/fleetctl")...)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		return programs{}, errors.Join(fmt.Errorf("go build: %w", err), errors.New(string(out)))
	}
	return programs{filepath.Join(dir, "fleetd"), filepath.Join(dir, "fleetctl")}, nil
})
