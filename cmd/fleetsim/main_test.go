package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

func environment(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}
}

func TestExecServesUntilItIsTold(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- exec(ctx, environment(nil), strings.NewReader(""), w, io.Discard, []string{"--listen", "127.0.0.1:0", "--units=20", "--faults", "none"})
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	require.Regexp(t, `^fleetsim ready at http://127\.0\.0\.1:\d+\n$`, line)
	url := strings.Fields(line)[3]

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_sim/inventory.csv", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 21, strings.Count(string(body), "\n"))

	cancel()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("did not stop")
	}
}

func TestFlagsAndEnvironment(t *testing.T) {
	t.Parallel()
	opts, err := parse(environment(map[string]string{
		"FLEETSIM_RPS": "70", "FLEETSIM_BURST": "7", "FLEETSIM_FAULT": "cut_after=0.5,slow_for=2s,throttle=0.3,server_error=0.05,page_token_ttl=1m", "FLEETSIM_SEED": "",
	}), io.Discard, []string{
		"--rps", "80", "--faults=harsh", "--token-ttl", "1m", "--enabled", "a", "--enabled", "b@development",
		"--linking-skill=x,y", "--retry-after", "date", "--fail-every", "5", "--latency=10ms", "--skills-per-unit=27",
		"--build-delay=2s", "--published", "c,d", "--vendor-id=M9", "--developer-client-id=dev", "--developer-client-secret=s1",
		"--developer-refresh-token=t1", "--customer-client-id=cus", "--customer-client-secret=s2", "--customer-refresh-token=t2", "--customer-region=fe",
	})
	require.NoError(t, err)
	want := simulator.DefaultConfig()
	want.RPS, want.Burst, want.TokenTTL, want.RetryAfter = 80, 7, time.Minute, simulator.RetryAfterDate
	want.Faults = simulator.FaultsHarsh()
	want.Faults.CutAfter, want.Faults.SlowFor = 0.5, 2*time.Second
	want.Faults.Throttle, want.Faults.ErrorBefore, want.Faults.PageTokenTTL = 0.3, 0.05, time.Minute
	want.SkillsPerUnit = 27
	want.Enabled = []simulator.Enablement{{SkillID: "a"}, {SkillID: "b", Stage: fleet.StageDevelopment}}
	want.LinkingSkills, want.FailEvery, want.Latency = []string{"x", "y"}, 5, 10*time.Millisecond
	want.BuildDelay, want.Published = 2*time.Second, []string{"c", "d"}
	want.Accounts[1] = simulator.Account{
		ClientID: "dev", ClientSecret: "s1", RefreshToken: "t1", Kind: fleet.CredentialDeveloper, VendorID: "M9",
	}
	want.Accounts[2] = simulator.Account{ClientID: "cus", ClientSecret: "s2", RefreshToken: "t2", Kind: fleet.CredentialCustomer, Region: "fe"}
	require.Equal(t, want, opts.config)
	require.Equal(t, "127.0.0.1:8090", opts.listen)

	opts, err = parse(environment(nil), io.Discard, nil)
	require.NoError(t, err)
	require.Equal(t, simulator.DefaultConfig(), opts.config)
}

func TestHelpShowsEveryFlagOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	_, err := parse(environment(nil), &out, []string{"-h"})
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Zero(t, exitCode(io.Discard, err))
	for _, name := range []string{
		"listen", "units", "properties", "rps", "burst", "latency", "faults", "fault", "seed", "enabling-delay",
		"retry-after", "token-ttl", "fail-every", "occupied", "enabled", "skills-per-unit", "build-delay", "published",
		"client-id", "developer-client-id", "vendor-id", "customer-refresh-token", "customer-region",
	} {
		require.Equal(t, 1, strings.Count(out.String(), "\n  --"+name+" "), name)
		require.Contains(t, out.String(), envName(name))
	}
	require.Contains(t, out.String(), "FLEETSIM_TOKEN_TTL, default 0s")
}

func TestBadSettingsSayWhatAndWhere(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		env  map[string]string
		code int
		want string
	}{
		{[]string{"--units", "many"}, nil, 2, "units"},
		{[]string{"--units", "0"}, nil, 2, "units: 0: must be 1 or more"},
		{[]string{"--properties", "3000"}, nil, 2, "properties: 3000"},
		{[]string{"--nonsense"}, nil, 2, "nonsense"},
		{[]string{"serve"}, nil, 2, `unexpected argument "serve"`},
		{[]string{"--faults", "mild"}, nil, 2, "must be none, default or harsh"},
		{[]string{"--fault", "cut_after"}, nil, 2, "must be name=value"},
		{[]string{"--fault", "cut=1"}, nil, 2, "not one of"},
		{[]string{"--fault", "cut_after=7"}, nil, 2, "must be from 0 to 1"},
		{[]string{"--retry-after", "soon"}, nil, 2, "none, seconds or date"},
		{[]string{"--enabled", "a@beta"}, nil, 2, "a@beta"},
		{[]string{"--skills-per-unit", "-1"}, nil, 2, "skills-per-unit: -1"},
		{nil, map[string]string{"FLEETSIM_RPS": "fast"}, 2, "FLEETSIM_RPS"},
		{[]string{"--rps", "-1"}, nil, 2, "rps: -1"},
		{[]string{"--build-delay", "-1s"}, nil, 2, "build-delay: -1s"},
		{[]string{"--customer-region", "us"}, nil, 2, "region \"us\""},
		{[]string{"--vendor-id", ""}, nil, 2, "a developer needs one"},
		{[]string{"--listen", "0.0.0.0:8090"}, nil, 1, "must be a loopback address"},
	} {
		err := exec(t.Context(), environment(tc.env), strings.NewReader(""), io.Discard, io.Discard, tc.args)
		require.ErrorContains(t, err, tc.want)
		var stderr bytes.Buffer
		require.Equal(t, tc.code, exitCode(&stderr, err), tc.args)
		require.Contains(t, stderr.String(), tc.want)
	}
}
