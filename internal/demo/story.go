package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// file writes a file into the folder of the run and returns its path.
func (d *demo) file(name, text string) (string, error) {
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write a file of the demo: %w", err)
	}
	return path, nil
}

// createAccount makes the account and tries it.
func (d *demo) createAccount(ctx context.Context) error {
	d.p.step("An account: one set of credentials, one request budget")
	secret, err := d.file("client-secret", simulator.DefaultClientSecret)
	if err != nil {
		return err
	}
	refresh, err := d.file("refresh-token", simulator.DefaultRefreshToken)
	if err != nil {
		return err
	}
	rate := fmt.Sprintf("%.0f", trueRate(d.cfg.Homes))
	d.p.command("fleetctl account create "+account, "--client-id "+simulator.DefaultClientID,
		"--client-secret-file "+secret, "--refresh-token-file "+refresh,
		"--api-url "+d.simURL, "--token-url "+d.simURL+"/auth/o2/token", "--rate "+rate, "--link-mode "+string(fleet.LinkDelegated))
	_, err = d.api.CreateAccount(ctx, client.CreateAccountParams{IdempotencyKey: new(rand.Text())}, client.AccountCreate{
		Name: account, ClientID: simulator.DefaultClientID,
		ClientSecret: simulator.DefaultClientSecret, RefreshToken: simulator.DefaultRefreshToken,
		APIURL: &d.simURL, TokenURL: new(d.simURL + "/auth/o2/token"), Rate: &rate, Reason: new("fleetd demo"),
		LinkMode: new(client.AccountCreateLinkMode(fleet.LinkDelegated)),
	})
	if err != nil {
		return fmt.Errorf("create the account: %w", err)
	}
	check, err := d.checkAccount(ctx)
	if err != nil {
		return err
	}
	d.p.fact("Created", "%s requests a second at most, whatever it does and in however many processes", rate)
	d.p.fact("Checked", "%s; %s", check.Token.Message, check.API.Message)
	return nil
}

// checkAccount tries the credentials, a few times: the API misbehaves.
func (d *demo) checkAccount(ctx context.Context) (client.AccountCheck, error) {
	const tries = 5
	for try := 1; ; try++ {
		r, err := d.api.CheckAccount(ctx, account)
		switch {
		case err != nil:
			return client.AccountCheck{}, fmt.Errorf("check the account: %w", err)
		case r.Value.OK:
			return r.Value, nil
		case try == tries:
			return r.Value, fmt.Errorf("the account does not work: token: %s; API: %s", r.Value.Token.Message, r.Value.API.Message)
		}
		if err := wait(ctx, time.Second); err != nil {
			return r.Value, err
		}
	}
}

// importHomes reads the inventory from CSV.
func (d *demo) importHomes(ctx context.Context) error {
	d.p.step("The homes, from CSV")
	path := filepath.Join(d.dir, "homes.csv")
	if err := d.writeInventory(path); err != nil {
		return err
	}
	d.p.command("fleetctl unit import "+path, "--account "+account)
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the inventory: %w", err)
	}
	defer f.Close()
	r, err := d.api.ImportUnits(ctx, account, client.ImportUnitsParams{IdempotencyKey: new(rand.Text())}, f)
	if err != nil {
		return fmt.Errorf("import the homes: %w", err)
	}
	if int(r.Value.Added) != d.cfg.Homes {
		return fmt.Errorf("import the homes: %s of %s were added", count(r.Value.Added), count(d.cfg.Homes))
	}
	d.p.fact("Imported", "%s in %d properties", things(r.Value.Added, "home"), properties)
	return nil
}

func (d *demo) writeInventory(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the inventory: %w", err)
	}
	return errors.Join(d.sim.WriteInventory(f), f.Close())
}

// request is the rollout of the demo.
func (d *demo) request() client.RolloutRequest {
	return client.RolloutRequest{
		Account: account, Action: client.RolloutRequestAction(fleet.ActionEnable), SkillID: skill, Selector: new("all"),
		Canary: new(int64(min(20, d.cfg.Homes/20))), Waves: &[]string{"10%", "40%"}, MaxFailures: new("5%"),
		VerifyTimeout: new("2m"), Reason: new("fleetd demo"),
	}
}

// rolloutCommand spells the rollout of the demo for fleetctl.
func (d *demo) rolloutCommand(verb string, more ...string) []string {
	r := d.request()
	args := []string{
		"fleetctl rollout " + verb + " enable", "--account " + account, "--skill " + skill, "--select " + *r.Selector,
		fmt.Sprintf("--canary %d", *r.Canary), "--wave " + strings.Join(*r.Waves, " --wave "),
		"--max-failures " + *r.MaxFailures, "--verify-timeout " + *r.VerifyTimeout,
	}
	return append(args, more...)
}

// planRollout shows what the rollout would do and cost.
func (d *demo) planRollout(ctx context.Context) error {
	d.p.step("The plan: what would happen, and what it costs")
	d.p.command(d.rolloutCommand("plan")...)
	r, err := d.api.PlanRollout(ctx, d.request())
	if err != nil {
		return fmt.Errorf("plan the rollout: %w", err)
	}
	d.plan = r.Value
	var waves []string
	for _, w := range r.Value.Waves {
		waves = append(waves, count(w.Targets))
	}
	e := r.Value.Expected
	d.p.fact("Homes", "%s: %s to read, then write where needed; %s left alone (occupied)", count(r.Value.Targets), count(e.Read+e.Write), count(e.Occupied))
	d.p.fact("Waves", "%s, each after the one before has proven itself", strings.Join(waves, ", "))
	d.p.fact("Halts", "after more than %s", things(r.Value.MaxFailures, "failure"))
	d.p.fact("Price", "%s, about %s at %.0f/s", things(r.Value.Price.Requests, "request"),
		seconds(time.Duration(r.Value.Price.Minutes*float64(time.Minute))), r.Value.Rate)
	for _, w := range r.Value.Warnings {
		d.p.fact("Warning", "%s", w)
	}
	return nil
}

// runRollout starts the rollout and follows it to its end.
func (d *demo) runRollout(ctx context.Context) error {
	d.p.step("The rollout")
	d.p.command(d.rolloutCommand("create", "--watch")...)
	d.sim.Reset(true) // what was counted so far was the check of the account
	r, err := d.api.CreateRollout(ctx, client.CreateRolloutParams{IdempotencyKey: new(rand.Text())}, d.request())
	if err != nil {
		return fmt.Errorf("create the rollout: %w", err)
	}
	d.rollout = r.Value
	if err := d.follow(ctx, d.rollout.Targets, mainRollout{d}); err != nil {
		return err
	}
	return d.takeOutcomes(ctx)
}

// invite says how to go on by hand.
func (d *demo) invite() {
	d.p.step("Yours")
	d.p.text("   fleetd is up at %s. In another terminal:\n", serverURL(d.listen))
	if dir := commandFolder(d.cfg.Program[0]); dir != "" {
		d.p.text("   export PATH=%s:$PATH", dir)
	}
	d.p.text("   export FLEETCTL_SERVER=%s", serverURL(d.listen))
	d.p.text("   export FLEETCTL_TOKEN=%s\n", d.token)
	id := d.rollout.ID
	for _, c := range [][2]string{
		{"fleetctl rollout show " + id, "how it went"},
		{"fleetctl rollout targets " + id + " --state failed", "which homes failed, and why"},
		{"fleetctl rollout retry " + id, "send those homes again"},
		{"fleetctl rollout rollback " + id + " --dry-run", "what putting everything back would cost"},
		{"fleetctl audit run --account " + account + " --watch", "look at every home"},
		{"fleetctl audit units " + d.second.audit.ID + " --result unknown", "homes that could not be seen, and why"},
		{"fleetctl unit list --account " + account + " --select occupancy=occupied", "homes with residents, which were left alone"},
		{"fleetctl log", "who did what"},
		{"curl -s " + serverURL(d.listen) + "/metrics", "what Prometheus sees"},
	} {
		d.p.text("   %-62s  %s", c[0], d.p.paint(dim, "# "+c[1]))
	}
	d.p.text("\n   Ctrl-C stops everything and removes it.")
}

// commandFolder is the folder of fleetctl beside fleetd, when it is not on the PATH.
func commandFolder(program string) string {
	if _, err := exec.LookPath("fleetctl"); err == nil {
		return ""
	}
	dir := filepath.Dir(program)
	if _, err := os.Stat(filepath.Join(dir, "fleetctl")); err != nil {
		return ""
	}
	return dir
}
