package main

import (
	"errors"

	"fleetd/internal/fleet"
	"fleetd/internal/rollout"
)

// checkGuardrails reads selector, waves, tolerance and window as the server will:
// what cannot be read is a mistake of the command line, told before anything is sent.
func (s *rolloutSpec) checkGuardrails() error {
	if s.selector != "" {
		if err := checkSelector(s.selector); err != nil {
			return err
		}
	}
	for _, w := range s.waves {
		if _, err := rollout.ParseSize(w); err != nil {
			return asFlag("--wave", err)
		}
	}
	if _, err := rollout.MaxFailures(s.maxFailures, 1); err != nil {
		return asFlag("--max-failures", err)
	}
	if s.window != "" {
		if _, err := rollout.ParseWindow(s.window); err != nil {
			return asFlag("--window", err)
		}
	}
	return nil
}

// checkSelector refuses what is not a selector.
func checkSelector(text string) error {
	if _, err := fleet.ParseSelector(text); err != nil {
		return asFlag("--select", err)
	}
	return nil
}

// asFlag makes a usage error of what the domain says about a flag's value.
func asFlag(flag string, err error) error {
	if known, ok := errors.AsType[*fleet.Error](err); ok {
		return usagef("%s: %s", flag, known.Message)
	}
	return usagef("%s: %s", flag, err)
}
