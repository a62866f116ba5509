package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

// skillCreateOptions are the inputs of `skill create`.
type skillCreateOptions struct {
	buildWait

	file, reason, key string
}

func newSkillCreate(p *program) *cobra.Command {
	o := &skillCreateOptions{buildWait: buildWait{p: p}}
	cmd := &cobra.Command{
		Use: "create -f FILE", Short: "Create a skill of the account's vendor from a manifest", Args: cobra.NoArgs,
		Long: `Create a skill of the account's vendor from a manifest, a skill.json as the ASK CLI has it. Amazon builds it in
the background; --wait follows the build to its end.

Exit codes of --wait: 0 it was built; 5 its build failed; 8 it had not ended when --timeout passed.`,
		Example: `  fleetctl skill create -f skill.json --account acme --wait`,
		RunE:    p.do(o.run),
	}
	accountFlag(cmd, p, &o.account)
	manifestFlag(cmd, &o.file)
	o.flags(cmd, "wait until the skill is built")
	reasonFlag(cmd, &o.reason)
	keyFlag(cmd.Flags(), &o.key)
	return cmd
}

func (o *skillCreateOptions) run(ctx context.Context) error {
	if err := needAccount(o.account); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	m, err := o.p.readManifest(ctx, o.file)
	if err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	once := key(o.key)
	r, err := insist(ctx, o.p, once, "the skill was created", func() (*client.Response[client.SkillCreated], error) {
		return api.CreateSkill(ctx, o.account, client.CreateSkillParams{IdempotencyKey: ref(once)}, client.SkillCreate{Manifest: m, Reason: ref(o.reason)})
	})
	if err != nil {
		return explainManifest(err, o.file)
	}
	o.skill = r.Value.SkillID
	if o.wait {
		o.p.note("Skill %s created.", o.skill)
		return o.follow(ctx, api)
	}
	if o.p.global.output == formatTable || o.p.global.output == formatWide {
		o.p.note("Its build goes on; follow it with: fleetctl skill status %s --account %s --wait", o.skill, o.account)
	}
	columns := []column[client.SkillCreated]{{head: "skill_id", text: func(s client.SkillCreated) string { return s.SkillID }}}
	return printOne(o.p, columns, r.Value, r.Raw, func(w io.Writer) { _, _ = fmt.Fprintf(w, "skill %s created\n", clean(o.skill)) })
}

// explainManifest names the file that the API finds fault with.
func explainManifest(err error, file string) error {
	var api *client.Error
	if errors.As(err, &api) && api.Status == http.StatusUnprocessableEntity {
		api.Detail = fileName(file) + ": " + api.Detail
	}
	return err
}

// skillUpdateOptions are the inputs of `skill update`.
type skillUpdateOptions struct {
	buildWait

	stage, file, reason string
	yes, dryRun, force  bool
}

func newSkillUpdate(p *program) *cobra.Command {
	o := &skillUpdateOptions{buildWait: buildWait{p: p}}
	cmd := &cobra.Command{
		Use: "update SKILL -f FILE", Short: "Replace the manifest of a skill: show the difference, ask, and do it", Args: oneArg("SKILL", &o.skill),
		Long: `Replace the manifest of a skill: show the difference to the one that stands there, ask, and do it. Nothing else
is replaced than what was shown: the update carries the entity tag of the manifest that was read (or of --etag), and
is refused when somebody changed it in between.

Amazon builds it in the background; --wait follows the build to its end. A skill whose very first build failed has no
manifest that could be read: --force puts the file there, whatever there is.

A dry run of -o json is {"skill_id","stage","etag","changed","diff"}, and so is the answer when nothing changes.

Exit codes: 0 done, or nothing to change; 1 refused, a stale entity tag among others; 3 --dry-run found a difference.
Of --wait: 5 its build failed; 8 it had not ended when --timeout passed.`,
		Example: `  fleetctl skill get amzn1.ask.skill.x --account acme -f skill.json
  fleetctl skill update amzn1.ask.skill.x --account acme -f skill.json --dry-run
  fleetctl skill update amzn1.ask.skill.x --account acme -f skill.json --yes --wait --reason "ticket 4711"`,
		RunE: p.do(o.run),
	}
	accountFlag(cmd, p, &o.account)
	manifestStageFlag(cmd, &o.stage)
	manifestFlag(cmd, &o.file)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show the difference and change nothing; exit with 3 when there is one, 0 when not")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask; needed where there is nobody to ask")
	cmd.Flags().StringVar(&o.etag, "etag", "", "entity tag of the manifest that may be replaced (that of the one just read)")
	cmd.Flags().BoolVar(&o.force, "force", false, "read nothing and compare nothing: replace whatever stands there")
	o.flags(cmd, "wait until the manifest is built")
	reasonFlag(cmd, &o.reason)
	return cmd
}

func (o *skillUpdateOptions) check() error {
	if err := needAccount(o.account); err != nil {
		return err
	}
	if err := oneOf("--stage", o.stage, manifestStages()); err != nil {
		return err
	}
	switch {
	case o.force && o.dryRun:
		return usagef("--force and --dry-run exclude each other: --force compares nothing")
	case o.force && o.etag != "":
		return usagef("--force and --etag exclude each other: --force replaces whatever stands there")
	case o.dryRun && o.p.global.output == formatCSV:
		return usagef("a difference has no CSV: leave -o out, or say -o json")
	case o.dryRun && o.wait:
		return usagef("--dry-run and --wait exclude each other: --dry-run changes nothing")
	}
	if err := o.buildWait.check(); err != nil || o.dryRun {
		return err
	}
	return needYes(o.p, o.yes)
}

func (o *skillUpdateOptions) run(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	m, err := o.p.readManifest(ctx, o.file)
	if err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	if !o.force {
		if done, err := o.compare(ctx, api, m); done || err != nil {
			return err
		}
	}
	if !o.yes {
		question := fmt.Sprintf("Replace the manifest of skill %s at stage %s?", o.skill, o.stage)
		if ok, err := o.p.confirm(ctx, question); err != nil || !ok {
			return declined(err)
		}
	}
	r, err := api.UpdateManifest(ctx, o.account, o.skill, client.UpdateManifestParamsStage(o.stage),
		client.ManifestUpdate{Manifest: m, ETag: ref(o.etag), Reason: ref(o.reason)})
	if err != nil {
		return o.explain(err)
	}
	if o.wait {
		return o.follow(ctx, api)
	}
	columns := []column[client.SkillAccepted]{
		{head: "skill_id", text: func(s client.SkillAccepted) string { return s.SkillID }},
		{head: "stage", text: func(s client.SkillAccepted) string { return s.Stage }},
	}
	return printOne(o.p, columns, r.Value, r.Raw, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "the new manifest of skill %s at stage %s is taken\n", clean(o.skill), clean(o.stage))
		o.p.note("Its build goes on; follow it with: fleetctl skill status %s --account %s --wait", o.skill, o.account)
	})
}

// compare shows what the file changes: on stdout of a dry run, else on stderr. done
// says that there is nothing to do after it. The manifest that was read is the one
// that may be replaced.
func (o *skillUpdateOptions) compare(ctx context.Context, api *client.Client, m json.RawMessage) (done bool, err error) {
	standing, etag, _, err := getManifest(ctx, api, o.account, o.skill, o.stage)
	if err != nil {
		return true, err
	}
	if o.etag != "" && etag != "" && o.etag != etag {
		return true, &codeError{code: exitError, msg: fmt.Sprintf("the entity tag %s is stale: the manifest of skill %s at stage %s has %s by now; %s",
			quote(o.etag), o.skill, o.stage, quote(etag), o.staleMend())}
	}
	if o.etag == "" {
		o.etag = etag
	}
	text, err := manifestDiff(standing, m, fmt.Sprintf("%s (%s, as it stands)", o.skill, o.stage), fileName(o.file))
	if err != nil {
		return true, err
	}
	if text == "" {
		err := o.p.say("No changes: the manifest of skill %s at stage %s is that of %s.", o.skill, o.stage, fileName(o.file))
		if o.p.global.output == formatJSON {
			err = o.printCompared(text)
		}
		if err == nil {
			o.noteFailed(ctx, api)
		}
		return true, err
	}
	if o.dryRun && o.p.global.output == formatJSON {
		return true, cmp.Or(o.printCompared(text), error(&codeError{code: exitDifference}))
	}
	if o.dryRun {
		_, err = io.WriteString(o.p.stdout, o.p.paintDiff(o.p.stdout, text))
		if err != nil {
			return true, wrote(err)
		}
		return true, &codeError{code: exitDifference}
	}
	_, _ = io.WriteString(o.p.stderr, o.p.paintDiff(o.p.stderr, text))
	if o.etag == "" {
		o.p.note("The API gave no entity tag: a change that somebody makes meanwhile will be overwritten.")
	}
	return false, nil
}

// printCompared is what was compared, for programs.
func (o *skillUpdateOptions) printCompared(text string) error {
	enc := json.NewEncoder(o.p.stdout)
	enc.SetEscapeHTML(false)
	return wrote(enc.Encode(struct {
		SkillID string `json:"skill_id"`
		Stage   string `json:"stage"`
		ETag    string `json:"etag"`
		Changed bool   `json:"changed"`
		Diff    string `json:"diff"`
	}{o.skill, o.stage, o.etag, text != "", text}))
}

// noteFailed says what to do where nothing is to change and the last update failed all
// the same: a build that fails leaves the manifest as it was, and the skill unfit for
// rollouts. A status that cannot be had is no matter here.
func (o *skillUpdateOptions) noteFailed(ctx context.Context, api *client.Client) {
	r, err := o.status(ctx, api, 0)
	if err == nil && r.Value.Manifest != nil && r.Value.Manifest.LastUpdate.State == stateFailed {
		o.p.note("The last update of the skill FAILED and left this one, and rollouts of the skill are refused until one succeeds: add --force to have it built anew.")
	}
}

// explain says what to do about an entity tag that is stale.
func (o *skillUpdateOptions) explain(err error) error {
	var api *client.Error
	if errors.As(err, &api) && api.Status == http.StatusPreconditionFailed {
		return &codeError{code: exitError, msg: fmt.Sprintf("the manifest of skill %s at stage %s was changed since it was read: the entity tag %s is stale; %s",
			o.skill, o.stage, quote(o.etag), o.staleMend())}
	}
	return explainManifest(err, o.file)
}

func (o *skillUpdateOptions) staleMend() string {
	return fmt.Sprintf("nothing was changed. Get it (fleetctl skill get %s --account %s --stage %s), make your change in that, and update again", o.skill, o.account, o.stage)
}
