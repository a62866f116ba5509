package main

import (
	"errors"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/rollout"
)

// check reads waves, tolerance, window and times as the server will: what cannot be
// read is a mistake of the command line, told before anything is sent.
func (s *guardrails) check() error {
	switch {
	case s.canary < 0:
		return usagef("--canary %d is negative", s.canary)
	case s.weight < 0:
		return usagef("--weight %d is negative; weights begin at 1", s.weight)
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
	if s.timezone != "" {
		if _, err := time.LoadLocation(s.timezone); err != nil {
			return usagef("--timezone %q is not a time zone: write it like Europe/Berlin", s.timezone)
		}
	}
	for _, d := range [][2]string{{"--soak", s.soak}, {"--verify-timeout", s.verifyTimeout}} {
		if err := positiveDuration(d[0], d[1]); err != nil {
			return err
		}
	}
	if s.observationMaxAge != "any" {
		return duration("--observation-max-age", s.observationMaxAge)
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
