package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

// rolloutSpec is what `rollout plan` and `rollout create` have in common: what to
// do, to which homes, behind which guardrails.
type rolloutSpec struct {
	p      *program
	action string

	account         string
	skill           string
	stage           string
	selector        string
	unitsFile       string
	includeOccupied bool
	guardrails
}

// guardrails are the flags that bound a rollout, whatever it does.
type guardrails struct {
	canary            int64
	waves             []string
	soak              string
	maxFailures       string
	window            string
	timezone          string
	startAt           string
	verifyTimeout     string
	observationMaxAge string
	weight            int64
	reason            string
}

const guardrailsHelp = `The homes are those that --select matches, or that --units-file lists: one unit ID a line, or CSV with a
unit_id column. Guardrails bound what can go wrong: --canary homes go first, then waves, with --soak between
them; the rollout halts when more than --max-failures homes fail; writes leave inside --window only.`

func (s *rolloutSpec) flags(cmd *cobra.Command) {
	fs := cmd.Flags()
	accountFlag(cmd, s.p, &s.account)
	fs.StringVar(&s.skill, "skill", "", "skill ID")
	fs.StringVar(&s.stage, "stage", string(fleet.StageLive), "skill stage: development|certification|live")
	fs.StringVar(&s.selector, "select", "", "which homes: "+selectorHelp)
	fs.StringVar(&s.unitsFile, "units-file", "", `file that lists the homes, instead of --select ("-": stdin)`)
	fs.BoolVar(&s.includeOccupied, "include-occupied", false, "write to occupied and linked homes as well")
	complete(cmd, "stage", texts(fleet.Stages())...)
	s.guardrails.flags(cmd)
}

func (s *guardrails) flags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Int64Var(&s.canary, "canary", 0, "how many homes go before all others")
	fs.StringArrayVar(&s.waves, "wave", nil, "size of a wave, N or P%; repeatable, what is left is the last wave")
	fs.StringVar(&s.soak, "soak", "", "how long to wait after each wave, such as 10m")
	fs.StringVar(&s.maxFailures, "max-failures", "", "how many failures are borne before the rollout halts, N or P% (2% when not given)")
	fs.StringVar(&s.window, "window", "", "when writes may leave, HH:MM-HH:MM, in the property's time zone or --timezone")
	fs.StringVar(&s.timezone, "timezone", "", "time zone of --window, such as Europe/Berlin")
	fs.StringVar(&s.startAt, "start-at", "", "not before then, such as 2026-03-01T22:00:00Z")
	fs.StringVar(&s.verifyTimeout, "verify-timeout", "", "how long a write may take to show (10m when not given)")
	fs.StringVar(&s.observationMaxAge, "observation-max-age", "", `how old a known state may be before it is read again, or "any": never read before writing (24h when not given)`)
	fs.Int64Var(&s.weight, "weight", 0, "share of the account's budget beside other rollouts (1 when not given)")
	reasonFlag(cmd, &s.reason)
}

// args takes the action, which is the only argument.
func (s *rolloutSpec) args(cmd *cobra.Command, args []string) error {
	if err := nameArgs("enable|disable")(cmd, args); err != nil {
		return err
	}
	s.action = args[0]
	if !slices.Contains(texts(fleet.Actions()), s.action) {
		return usagef("action %q is not one of enable, disable", s.action)
	}
	return nil
}

// request checks the flags, reads the units file and makes the request.
func (s *rolloutSpec) request() (client.RolloutRequest, error) {
	none := client.RolloutRequest{}
	if err := s.check(); err != nil {
		return none, err
	}
	r := client.RolloutRequest{
		Account: s.account, Action: client.RolloutRequestAction(s.action), SkillID: s.skill,
		Stage: ref(client.RolloutRequestStage(s.stage)), Selector: ref(s.selector),
		Canary: ref(s.canary), Waves: list(s.waves), Soak: ref(s.soak), MaxFailures: ref(s.maxFailures),
		Window: ref(s.window), Timezone: ref(s.timezone), VerifyTimeout: ref(s.verifyTimeout),
		IncludeOccupied: ref(s.includeOccupied), ObservationMaxAge: ref(s.observationMaxAge),
		Weight: ref(s.weight), Reason: ref(s.reason),
	}
	var err error
	if r.StartAt, err = s.start(); err != nil {
		return none, err
	}
	if s.unitsFile != "" {
		ids, err := s.p.unitsFile(s.unitsFile)
		if err != nil {
			return none, err
		}
		r.UnitIDs = &ids
	}
	return r, nil
}

// unitsFile reads the units that --units-file lists.
func (p *program) unitsFile(path string) ([]string, error) {
	f, err := p.open("--units-file", path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	ids, err := readUnitIDs(f)
	if err != nil {
		return nil, fmt.Errorf("--units-file %s: %w", fileName(path), err)
	}
	return ids, nil
}

func (s *rolloutSpec) check() error {
	if err := needAccount(s.account); err != nil {
		return err
	}
	if s.skill == "" {
		return usagef("--skill is missing: name the skill by its ID")
	}
	if err := needHomes(s.selector, s.unitsFile); err != nil {
		return err
	}
	if err := oneOf("--stage", s.stage, texts(fleet.Stages())); err != nil {
		return err
	}
	if s.selector != "" {
		if err := checkSelector(s.selector); err != nil {
			return err
		}
	}
	return s.guardrails.check()
}

// start is when a rollout may begin; nil: at once.
func (s *guardrails) start() (*time.Time, error) {
	if s.startAt == "" {
		return nil, nil //nolint:nilnil // No time is an answer.
	}
	t, err := time.Parse(time.RFC3339, s.startAt)
	if err != nil {
		return nil, usagef("--start-at %q is not a time: write it like 2026-03-01T22:00:00Z or 2026-03-01T22:00:00+01:00", s.startAt)
	}
	return &t, nil
}

// needHomes wants one of the two ways to say which homes.
func needHomes(selector, unitsFile string) error {
	switch {
	case selector == "" && unitsFile == "":
		return usagef("say which homes: --select all, --select property=NAME, or --units-file FILE")
	case selector != "" && unitsFile != "":
		return usagef("--select and --units-file exclude each other")
	}
	return nil
}

// duration refuses what is not a length of time; empty is not given.
func duration(flag, text string) error {
	if text == "" {
		return nil
	}
	if d, err := time.ParseDuration(text); err != nil || d < 0 {
		return usagef("%s %q is not a length of time: write it like 30s, 10m or 2h30m", flag, text)
	}
	return nil
}

// positiveDuration is duration for what must not be 0.
func positiveDuration(flag, text string) error {
	if err := duration(flag, text); err != nil {
		return err
	}
	if d, err := time.ParseDuration(text); err == nil && d == 0 {
		return usagef("%s is 0: leave it out, or give a length of time", flag)
	}
	return nil
}

// readUnitIDs reads a list of units: one ID a line, or CSV with a unit_id column.
// Blank lines do not count. The order is kept: it is the order they go in.
func readUnitIDs(r io.Reader) ([]string, error) {
	in := bufio.NewReader(r)
	if bom, err := in.Peek(3); err == nil && string(bom) == "\xEF\xBB\xBF" {
		_, _ = in.Discard(3)
	}
	first, err := in.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read: %w", err)
	}
	head := strings.TrimSpace(first)
	var ids []string
	if isCSVHead(head) {
		ids, err = readCSVColumn(io.MultiReader(strings.NewReader(first), in))
	} else {
		ids, err = readLines(head, in)
	}
	if err == nil && len(ids) == 0 {
		err = errors.New("it lists no units")
	}
	return ids, err
}

// isCSVHead tells a header from a unit ID, which holds no comma here: a list whose
// IDs do needs the header.
func isCSVHead(line string) bool {
	return strings.Trim(line, `"`) == "unit_id" || strings.Contains(line, ",")
}

func readLines(first string, r io.Reader) ([]string, error) {
	var ids []string
	if first != "" {
		ids = append(ids, first)
	}
	lines := bufio.NewScanner(r)
	for n := 2; lines.Scan(); n++ {
		if id := strings.TrimSpace(lines.Text()); id != "" {
			ids = append(ids, id)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read: %w: is it a list of unit IDs?", err)
	}
	return ids, nil
}

func readCSVColumn(r io.Reader) ([]string, error) {
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	head, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	at := -1
	for i, name := range head {
		if strings.TrimSpace(name) == "unit_id" {
			at = i
		}
	}
	if at < 0 {
		return nil, fmt.Errorf("its first line has commas and no column unit_id (the columns are %s); name one so, or list one ID a line", quote(strings.Join(head, ", ")))
	}
	var ids []string
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return ids, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		id := strings.TrimSpace(row[at])
		if id == "" {
			line, column := rows.FieldPos(at)
			return nil, fmt.Errorf("line %s, column %s (unit_id) is empty", strconv.Itoa(line), strconv.Itoa(column))
		}
		ids = append(ids, strings.Clone(id))
	}
}
