package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"fleetd/internal/simulator"
)

// options are fleetsim's settings.
type options struct {
	listen string
	config simulator.Config
}

// envPrefix begins the environment name of every flag: --token-ttl is FLEETSIM_TOKEN_TTL.
const envPrefix = "FLEETSIM_"

func envName(flagName string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// parse makes options of flags, of the environment for flags that are not
// given, and of the defaults.
func parse(env func(string) (string, bool), stdout io.Writer, args []string) (options, error) {
	opts := options{config: simulator.DefaultConfig()}
	cfg := &opts.config
	preset := "default"
	var faults, enabled []string

	fs := flag.NewFlagSet("fleetsim", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&opts.listen, "listen", "127.0.0.1:8090", "loopback `address` to listen on; port 0 is any free one")
	fs.IntVar(&cfg.Units, "units", cfg.Units, "`number` of homes")
	fs.IntVar(&cfg.Properties, "properties", cfg.Properties, "`number` of properties the homes are spread over")
	fs.IntVar(&cfg.Occupied, "occupied", 0, "`number` of homes that are occupied or linked; writes to them are answered 403")
	fs.BoolVar(&cfg.OccupiedWritable, "occupied-writable", false, "let writes to occupied homes through")
	fs.Float64Var(&cfg.RPS, "rps", cfg.RPS, "true rate limit of each LWA client at each API in `requests` a second; 0 is none")
	fs.IntVar(&cfg.Burst, "burst", 0, "`requests` that may come at once; 0 is a tenth of --rps, at least 1")
	fs.StringVar((*string)(&cfg.RetryAfter), "retry-after", string(cfg.RetryAfter), "Retry-After of a 429: none, seconds or date (`form`)")
	fs.DurationVar(&cfg.Latency, "latency", 0, "`time` an answer takes")
	fs.DurationVar(&cfg.EnablingDelay, "enabling-delay", 0, "`time` every enable is ENABLING")
	fs.StringVar(&preset, "faults", preset, "how the API misbehaves: none, default or harsh (`preset`)")
	fs.Var(list{&faults}, "fault", "`name=value` of one fault, over --faults; may be repeated or comma-separated: "+
		strings.Join(simulator.FaultNames(), ", ")+"; server_error is error_before")
	fs.IntVar(&cfg.FailEvery, "fail-every", 0, "every `N`th home answers 403 to writes; 0 is none")
	fs.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "`number` that decides unit IDs, fates and faults; the same one replays a run")
	fs.DurationVar(&cfg.TokenTTL, "token-ttl", 0, "`time` access tokens live; 0 is an hour, with --faults harsh 15s")
	fs.BoolVar(&cfg.RotateRefreshTokens, "rotate-refresh-tokens", false, "give out a new refresh token at each refresh")
	fs.DurationVar(&cfg.CodeTTL, "code-ttl", cfg.CodeTTL, "`time` an authorization code can be used")
	fs.Var(list{&cfg.Skills}, "skill", "`ID` of a skill that exists; may be repeated or comma-separated; none is every ID without \"unknown\" in it")
	fs.Var(list{&cfg.LinkingSkills}, "linking-skill", "`ID` of a skill that links accounts; may be repeated or comma-separated; "+
		"none is every ID with \"link\" in it")
	fs.BoolVar(&cfg.DelegatedLinking, "delegated-linking", false, "link what is enabled without an accountLinkRequest")
	fs.Var(list{&enabled}, "enabled", "`ID[@stage]` of a skill that every home has at the start; may be repeated or comma-separated")
	fs.IntVar(&cfg.SkillsPerUnit, "skills-per-unit", 0, "`number` of skills that every home has at the start besides, live: amzn1.ask.skill.base-01 and on")
	fs.DurationVar(&cfg.BuildDelay, "build-delay", cfg.BuildDelay, "`time` a skill manifest builds")
	fs.Var(list{&cfg.Published}, "published", "`ID` of a skill that the developer published before the start; may be repeated or comma-separated")
	clientFlags(fs, &cfg.Accounts[0], "", "")
	clientFlags(fs, &cfg.Accounts[1], "developer-", " of the developer")
	fs.StringVar(&cfg.Accounts[1].VendorID, "vendor-id", cfg.Accounts[1].VendorID, "vendor `ID` of the developer")
	clientFlags(fs, &cfg.Accounts[2], "customer-", " of the customer")
	fs.StringVar(&cfg.Accounts[2].Region, "customer-region", cfg.Accounts[2].Region, "`region` that the customer is registered in: na, eu or fe")
	fs.DurationVar(&cfg.HookRetryDelay, "hook-retry-delay", cfg.HookRetryDelay, "`time` after which a failed delivery to a hook is tried again, three times")
	fs.IntVar(&cfg.HistoryCap, "history", cfg.HistoryCap, "`requests` that the history remembers; the counters are of all")

	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			usage(stdout, fs)
			return options{}, err
		}
		return options{}, &usageError{err}
	}
	if fs.NArg() > 0 {
		return options{}, &usageError{fmt.Errorf("unexpected argument %q", fs.Arg(0))}
	}
	if err := fromEnv(fs, env); err != nil {
		return options{}, &usageError{err}
	}
	if err := finish(cfg, preset, faults, enabled); err != nil {
		return options{}, &usageError{err}
	}
	return opts, nil
}

// clientFlags are the flags of one LWA client.
func clientFlags(fs *flag.FlagSet, a *simulator.Account, prefix, whose string) {
	fs.StringVar(&a.ClientID, prefix+"client-id", a.ClientID, "LWA client `ID`"+whose)
	fs.StringVar(&a.ClientSecret, prefix+"client-secret", a.ClientSecret, "LWA client `secret`"+whose+", a made-up one")
	fs.StringVar(&a.RefreshToken, prefix+"refresh-token", a.RefreshToken, "refresh `token`"+whose+", a made-up one")
}

// fromEnv sets the flags that were not given and have an environment name that is set.
func fromEnv(fs *flag.FlagSet, env func(string) (string, bool)) error {
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var errs []error
	fs.VisitAll(func(f *flag.Flag) {
		value, ok := env(envName(f.Name))
		if given[f.Name] || !ok || value == "" {
			return
		}
		if err := fs.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: invalid value %q: %w", envName(f.Name), value, err))
		}
	})
	return errors.Join(errs...)
}

// finish makes the configuration of settings that are more than one value.
func finish(cfg *simulator.Config, preset string, faults, enabled []string) error {
	for name, n := range map[string]int{"units": cfg.Units, "properties": cfg.Properties, "history": cfg.HistoryCap} {
		if n < 1 { // A Config takes 0 for its default; a person who enters it means something else.
			return fmt.Errorf("%s: %d: must be 1 or more", name, n)
		}
	}
	var err error
	if cfg.Faults, err = simulator.FaultsNamed(preset); err != nil {
		return err
	}
	for _, fault := range faults {
		name, value, ok := strings.Cut(fault, "=")
		if !ok {
			return fmt.Errorf("fault %q: must be name=value, such as cut_after=0.01", fault)
		}
		if err := cfg.Faults.Set(name, value); err != nil {
			return err
		}
	}
	for _, skill := range enabled {
		cfg.Enabled = append(cfg.Enabled, simulator.ParseEnablement(skill))
	}
	return cfg.Validate()
}

// usage writes every flag with its environment name and default.
func usage(w io.Writer, fs *flag.FlagSet) {
	fmt.Fprint(w, "fleetsim serves a stand-in of the residential skill management API, of the skill manifest,\n"+
		"skill enablement and development notification APIs, of Amazon SNS, of Login with Amazon and of a code server,\n"+
		"on one loopback port. GET /_sim/ lists its own controls.\n\n"+
		"Usage: fleetsim [flags]\n\nFlags, each with the environment name behind it and its default:\n")
	fs.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		fmt.Fprintf(w, "  --%s %s\n        %s\n        %s", f.Name, value, text, envName(f.Name))
		if f.DefValue != "" {
			fmt.Fprintf(w, ", default %s", f.DefValue)
		}
		fmt.Fprintln(w)
	})
}

// list is a flag that may be repeated and may hold several values.
type list struct{ values *[]string }

func (l list) String() string {
	if l.values == nil {
		return ""
	}
	return strings.Join(*l.values, ",")
}

func (l list) Set(text string) error {
	for value := range strings.SplitSeq(text, ",") {
		if value = strings.TrimSpace(value); value != "" {
			*l.values = append(*l.values, value)
		}
	}
	return nil
}
