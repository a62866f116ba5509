package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

// skillManifestVerbs are the commands of the skill manifest API.
func skillManifestVerbs(p *program) []*cobra.Command {
	return []*cobra.Command{newSkillList(p), newSkillGet(p), newSkillStatus(p), newSkillCreate(p), newSkillUpdate(p), newSkillDelete(p)}
}

// maxManifest is what of a file can be a manifest: fleetd takes no larger body.
const maxManifest = 1<<20 - 4096

// manifestStages are the stages of the skill manifest API.
func manifestStages() []string {
	return []string{string(client.GetManifestParamsStageDevelopment), string(client.GetManifestParamsStageCertified), string(client.GetManifestParamsStageLive)}
}

func manifestStageFlag(cmd *cobra.Command, dst *string) {
	cmd.Flags().StringVar(dst, "stage", manifestStages()[0], "stage of the skill: "+strings.Join(manifestStages(), "|"))
	complete(cmd, "stage", manifestStages()...)
}

// manifestFlag is the flag of commands that read a manifest.
func manifestFlag(cmd *cobra.Command, dst *string) {
	cmd.Flags().StringVarP(dst, "file", "f", "", `skill.json to read, {"manifest": {...}} or the manifest alone ("-": stdin)`)
}

// readManifest reads the manifest that a file holds: as skill.json has it, under
// "manifest", or alone.
func (p *program) readManifest(ctx context.Context, path string) (json.RawMessage, error) {
	if path == "" {
		return nil, usagef(`--file is missing: name the file with the manifest ("-": stdin)`)
	}
	f, err := p.open("--file", path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := await(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(f, maxManifest+1)) })
	name := fileName(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case len(text) > maxManifest:
		return nil, fmt.Errorf("%s: it is larger than %d KiB, and no manifest is: is it the right file?", name, maxManifest>>10)
	case len(bytes.TrimSpace(text)) == 0:
		return nil, fmt.Errorf(`%s: it holds nothing, and should hold a manifest: {"manifest": {...}}`, name)
	}
	m, err := innerManifest(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

func innerManifest(text []byte) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			line, column := place(text, int(syntax.Offset))
			return nil, fmt.Errorf("line %d, column %d: it is not JSON here: %w", line, column, syntax)
		}
		return nil, errors.New(`it must hold a JSON object: {"manifest": {...}}, or the manifest alone`)
	}
	m, wrapped := fields["manifest"]
	if !wrapped {
		m = text
	}
	var inner map[string]json.RawMessage
	if err := json.Unmarshal(m, &inner); err != nil || len(inner) == 0 {
		return nil, errors.New("the manifest must be a JSON object with something in it")
	}
	return m, nil
}

// place is the line and column of the byte that an error of encoding/json points to.
func place(text []byte, offset int) (line, column int) {
	before := text[:max(0, min(offset, len(text))-1)]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}

// skillJSON is a manifest as files hold it: as it came, under "manifest", indented.
func skillJSON(manifest json.RawMessage) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, fmt.Appendf(nil, `{"manifest":%s}`, manifest), "", "  "); err != nil {
		return nil, fmt.Errorf("write the manifest: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// getManifest reads the manifest of a skill, as it came, and its entity tag.
func getManifest(ctx context.Context, api *client.Client, account, skill, stage string) (m json.RawMessage, etag string, raw []byte, err error) {
	r, err := api.GetManifest(ctx, account, skill, client.GetManifestParamsStage(stage))
	if err != nil {
		return nil, "", nil, err
	}
	var doc struct {
		Manifest json.RawMessage `json:"manifest"`
	}
	if err := json.Unmarshal(r.Raw, &doc); err != nil {
		return nil, "", nil, fmt.Errorf("read the manifest: %w", err)
	}
	return doc.Manifest, r.Value.ETag, r.Raw, nil
}

func newSkillList(p *program) *cobra.Command {
	var (
		account string
		skills  []string
	)
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the skills of the account's vendor, a line for each stage", Args: cobra.NoArgs,
		Long: `List the skills of the account's vendor, a line for each stage: all of them, or the ones that --skill names.
The account needs a developer credential (fleetctl account credential set).`,
		RunE: p.ofAccount(&account, func(ctx context.Context, api *client.Client) error {
			params := client.ListSkillsParams{}
			if len(skills) > 0 {
				params.SkillID = &skills
			}
			r, err := api.ListSkills(ctx, account, params)
			if err != nil {
				return err
			}
			if err := printAll(p, skillColumns(p), r.Value.Items, r.Raw, "No skills."); err != nil {
				return err
			}
			for _, id := range skills {
				if !slices.ContainsFunc(r.Value.Items, func(s client.SkillSummary) bool { return s.SkillID == id }) {
					p.note("Not among the skills of the account's vendor: %s", id)
				}
			}
			return nil
		}),
	}
	accountFlag(cmd, p, &account)
	cmd.Flags().StringArrayVar(&skills, "skill", nil, "only this skill (repeatable)")
	return cmd
}

func skillColumns(p *program) []column[client.SkillSummary] {
	type skill = client.SkillSummary
	return []column[skill]{
		{head: "skill_id", text: func(s skill) string { return s.SkillID }},
		{head: "stage", text: func(s skill) string { return s.Stage }},
		{head: "publication_status", text: func(s skill) string { return s.PublicationStatus }, color: func(s skill) string {
			switch s.PublicationStatus {
			case "PUBLISHED":
				return green
			case "HIDDEN", "REMOVED":
				return red
			}
			return ""
		}},
		{head: "name", text: func(s skill) string { return skillName(s.NameByLocale) }},
		{head: "apis", text: func(s skill) string { return strings.Join(s.APIs, ";") }, wide: true},
		{head: "asin", text: func(s skill) string { return deref(s.ASIN) }, wide: true},
		{
			head: "updated", right: true, text: func(s skill) string {
				if s.LastUpdated == nil {
					return ""
				}
				return p.age(*s.LastUpdated)
			},
			csvHead: "last_updated", csv: func(s skill) string {
				if s.LastUpdated == nil {
					return ""
				}
				return stamp(*s.LastUpdated)
			},
		},
	}
}

// skillName is one of a skill's names: the American one, else that of the first locale.
func skillName(names map[string]string) string {
	if name := names["en-US"]; name != "" || len(names) == 0 {
		return name
	}
	var locales []string
	for locale := range names {
		locales = append(locales, locale)
	}
	return names[slices.Min(locales)]
}

// skillGetOptions are the inputs of `skill get`.
type skillGetOptions struct {
	p                           *program
	skill, account, stage, file string
}

func newSkillGet(p *program) *cobra.Command {
	o := &skillGetOptions{p: p}
	cmd := &cobra.Command{
		Use: "get SKILL", Short: "Write the manifest of a skill, as a skill.json has it", Args: oneArg("SKILL", &o.skill),
		Long: `Write the manifest of a skill, as a skill.json has it: {"manifest": {...}}. skill update puts it back.
-o json prints fleetd's answer instead, with the entity tag in it.`,
		Example: `  fleetctl skill get amzn1.ask.skill.x --account acme -f skill.json`,
		RunE:    p.do(o.run),
	}
	accountFlag(cmd, p, &o.account)
	manifestStageFlag(cmd, &o.stage)
	cmd.Flags().StringVarP(&o.file, "file", "f", "-", `file to write ("-": stdout)`)
	return cmd
}

func (o *skillGetOptions) run(ctx context.Context) error {
	if err := needAccount(o.account); err != nil {
		return err
	}
	if err := oneOf("--stage", o.stage, manifestStages()); err != nil {
		return err
	}
	if o.p.global.output == formatCSV {
		return usagef("a manifest has no CSV: leave -o out, or say -o json")
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	m, etag, raw, err := getManifest(ctx, api, o.account, o.skill, o.stage)
	if err != nil {
		return err
	}
	if o.p.global.output != formatJSON {
		if raw, err = skillJSON(m); err != nil {
			return err
		}
	}
	if o.file == "-" {
		return writeJSON(o.p.stdout, raw)
	}
	if err := os.WriteFile(o.file, raw, 0o644); err != nil { //nolint:gosec // A manifest is published, and holds no secret.
		return fmt.Errorf("--file: %w", err)
	}
	o.p.note("The manifest of skill %s at stage %s is in %s (entity tag %s).", o.skill, o.stage, o.file, orText(etag, "none"))
	return nil
}

func newSkillDelete(p *program) *cobra.Command {
	var (
		skill, account string
		agreed         consent
	)
	cmd := &cobra.Command{
		Use: "delete SKILL", Aliases: []string{"rm"}, Short: "Delete a skill of the vendor for good, with its interaction model", Args: oneArg("SKILL", &skill),
		Long: `Delete a skill of the vendor for good, with its interaction model. To take a skill away from homes and keep
it, disable it there: fleetctl rollout create disable.`,
		RunE: p.do(func(ctx context.Context) error {
			if err := needAccount(account); err != nil {
				return err
			}
			if err := needYes(p, agreed.yes); err != nil {
				return err
			}
			api, err := p.api()
			if err != nil {
				return err
			}
			if err := agreed.ask(ctx, p, "Delete skill %s for good, with its interaction model?", skill); err != nil {
				return err
			}
			if err := api.DeleteSkill(ctx, account, skill, client.DeleteSkillParams{Reason: ref(agreed.reason)}); err != nil {
				return err
			}
			return p.say("skill %s deleted", skill)
		}),
	}
	accountFlag(cmd, p, &account)
	cmd.Flags().BoolVarP(&agreed.yes, "yes", "y", false, "do not ask; needed where there is nobody to ask")
	reasonFlag(cmd, &agreed.reason)
	return cmd
}

// needYes refuses a change that nobody agreed to and nobody can be asked about.
func needYes(p *program, yes bool) error {
	if !yes && !p.canAsk() {
		return usagef("--yes is missing: there is no terminal to ask on, so say that it is meant")
	}
	return nil
}
