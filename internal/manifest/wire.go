package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// maxWord is the longest status, stage or step that is taken for one. The documented
// ones have up to 31 bytes.
const maxWord = 64

type createRequest struct {
	VendorID string          `json:"vendorId"`
	Manifest json.RawMessage `json:"manifest"`
}

type updateRequest struct {
	Manifest json.RawMessage `json:"manifest"`
}

type createAnswer struct {
	SkillID string `json:"skillId"`
}

// Check reports an answer without the ID of what was made.
func (a *createAnswer) Check() error { return remote.CheckID("skillId", a.SkillID) }

type getAnswer struct {
	Manifest json.RawMessage `json:"manifest"`
}

// Check reports an answer without a manifest.
func (a *getAnswer) Check() error {
	if !isObject(a.Manifest) {
		return errors.New("it has no manifest")
	}
	return nil
}

// CheckManifest refuses what is no manifest: it must be a JSON object with something
// in it, and not one that holds the manifest under "manifest" once more, as files do.
func CheckManifest(manifest json.RawMessage) error {
	var fields map[string]json.RawMessage
	switch {
	case !isObject(manifest), json.Unmarshal(manifest, &fields) != nil:
		return fleet.Invalidf("manifest", "the manifest must be a JSON object: give what a skill.json holds under \"manifest\"")
	case len(fields) == 0:
		return fleet.Invalidf("manifest", "the manifest is empty: give one with manifestVersion and publishingInformation")
	case len(fields) == 1 && fields["manifest"] != nil:
		return fleet.Invalidf("manifest", "the manifest holds a manifest: give the inner one")
	}
	return nil
}

func isObject(raw json.RawMessage) bool {
	text := bytes.TrimSpace(raw)
	return len(text) > 0 && text[0] == '{' && json.Valid(text)
}

// word is a string that may come as a number.
type word string

// UnmarshalJSON takes a string, a number or null.
func (w *word) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*w = word(s)
		return nil
	}
	var n json.Number
	err := json.Unmarshal(b, &n)
	*w = word(n)
	return err //nolint:wrapcheck // encoding/json's own, to it.
}

type messageWire struct {
	Code    word   `json:"code"`
	Message string `json:"message"`
}

type updateWire struct {
	Status       string        `json:"status"`
	Errors       []messageWire `json:"errors"`
	Warnings     []messageWire `json:"warnings"`
	Version      word          `json:"version"`
	BuildDetails struct {
		Steps []struct {
			Name   string        `json:"name"`
			Status string        `json:"status"`
			Errors []messageWire `json:"errors"`
		} `json:"steps"`
	} `json:"buildDetails"`
	DeploymentDetails struct {
		CommitID string `json:"commitId"`
		LogURL   string `json:"logUrl"`
	} `json:"deploymentDetails"`
}

// resourceWire is the status of a resource. The reference spells its last update in
// two ways, and puts version and errors in two places.
type resourceWire struct {
	ETag     word          `json:"eTag"`
	Version  word          `json:"version"`
	Last     *updateWire   `json:"lastUpdateRequest"`
	Lasted   *updateWire   `json:"lastUpdatedRequest"`
	Errors   []messageWire `json:"errors"`
	Warnings []messageWire `json:"warnings"`
}

type statusAnswer struct {
	Manifest         *resourceWire            `json:"manifest"`
	Deployment       *resourceWire            `json:"hostedSkillDeployment"`
	Provisioning     *resourceWire            `json:"hostedSkillProvisioning"`
	Provision        *resourceWire            `json:"hostedSkillProvision"`
	InteractionModel map[string]*resourceWire `json:"-"`
}

// UnmarshalJSON takes an object only, which may be empty, and an interaction model by
// locale, as the example has it, or without, as the table of properties has it: then
// its locale is empty.
func (a *statusAnswer) UnmarshalJSON(b []byte) error {
	if !isObject(b) {
		return errors.New("it is not an object")
	}
	type plain statusAnswer
	var out struct {
		plain

		Model json.RawMessage `json:"interactionModel"`
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return err //nolint:wrapcheck // encoding/json's own, to it.
	}
	*a = statusAnswer(out.plain)
	if !isObject(out.Model) {
		return nil
	}
	var whole resourceWire
	if json.Unmarshal(out.Model, &whole) == nil && whole.last().Status != "" {
		a.InteractionModel = map[string]*resourceWire{"": &whole}
		return nil
	}
	return json.Unmarshal(out.Model, &a.InteractionModel) //nolint:wrapcheck // encoding/json's own, to it.
}

// Check reports a manifest of which nothing is said, or what no status is. Of the other
// resources, and of the last update of a manifest that has an entity tag, the official
// description requires nothing: one of them must not hide what the others say.
func (a *statusAnswer) Check() error {
	if m := a.Manifest; m != nil && m.last().Status == "" && m.ETag == "" {
		return errors.New("manifest has neither a status nor an entity tag")
	}
	all := map[string]*resourceWire{"manifest": a.Manifest, "hostedSkillDeployment": a.Deployment, "hostedSkillProvisioning": a.provisioning()}
	for locale, r := range a.InteractionModel {
		if r == nil {
			return fmt.Errorf("interactionModel.%.20q is null", locale)
		}
		if err := r.check("interactionModel"); err != nil {
			return err
		}
	}
	for name, r := range all {
		if err := r.check(name); err != nil {
			return err
		}
	}
	return nil
}

func (r *resourceWire) check(name string) error {
	if r == nil {
		return nil
	}
	last := r.last()
	words := []string{last.Status}
	for _, s := range last.BuildDetails.Steps {
		words = append(words, s.Status, s.Name)
	}
	for _, w := range words {
		if err := checkWord(w); err != nil {
			return fmt.Errorf("%s has a status that is none: %w", name, err)
		}
	}
	return nil
}

// checkWord refuses what is no word of any API: unknown ones are kept as they came,
// but not a megabyte of them.
func checkWord(w string) error {
	if len(w) > maxWord {
		return fmt.Errorf("it has %d bytes", len(w))
	}
	for _, r := range w {
		if r <= ' ' || r >= 0x7f {
			return errors.New("it has a character that no word has")
		}
	}
	return nil
}

func (a *statusAnswer) provisioning() *resourceWire {
	if a.Provisioning != nil {
		return a.Provisioning
	}
	return a.Provision
}

// last is the last update, an empty one where there is none.
func (r *resourceWire) last() updateWire {
	switch {
	case r.Last != nil:
		return *r.Last
	case r.Lasted != nil:
		return *r.Lasted
	}
	return updateWire{}
}

func (a *statusAnswer) status() Status {
	s := Status{
		Manifest: a.Manifest.status(), HostedDeployment: a.Deployment.status(), HostedProvisioning: a.provisioning().status(),
	}
	for locale, r := range a.InteractionModel {
		if s.InteractionModel == nil {
			s.InteractionModel = map[string]ResourceStatus{}
		}
		s.InteractionModel[locale] = *r.status()
	}
	return s
}

func (r *resourceWire) status() *ResourceStatus {
	if r == nil {
		return nil
	}
	last := r.last()
	s := &ResourceStatus{ETag: string(r.ETag), Version: string(last.Version), Update: Update{
		State: State(last.Status), Errors: messages(last.Errors, r.Errors), Warnings: messages(last.Warnings, r.Warnings),
		CommitID: last.DeploymentDetails.CommitID, LogURL: last.DeploymentDetails.LogURL,
	}}
	if s.Version == "" {
		s.Version = string(r.Version)
	}
	for _, step := range last.BuildDetails.Steps {
		s.Update.Steps = append(s.Update.Steps, Step{Name: step.Name, State: State(step.Status), Errors: messages(step.Errors)})
	}
	return s
}

func messages(lists ...[]messageWire) []Message {
	var all []Message
	for _, list := range lists {
		for _, m := range list {
			all = append(all, Message{Code: string(m.Code), Message: m.Message})
		}
	}
	return all
}

type linksWire struct {
	Next struct {
		Href string `json:"href"`
	} `json:"next"`
}

type listAnswer struct {
	Skills *[]struct {
		SkillID           string            `json:"skillId"`
		Stage             string            `json:"stage"`
		PublicationStatus string            `json:"publicationStatus"`
		LastUpdated       string            `json:"lastUpdated"`
		ASIN              string            `json:"asin"`
		NameByLocale      map[string]string `json:"nameByLocale"`
		APIs              []string          `json:"apis"`
	} `json:"skills"`
	IsTruncated bool      `json:"isTruncated"`
	NextToken   string    `json:"nextToken"`
	Links       linksWire `json:"_links"`
}

// Check reports a page that is not one, or that has a skill nobody could name.
func (a *listAnswer) Check() error {
	if a.Skills == nil {
		return errors.New("the page has no skills, not even an empty list of them")
	}
	for i, s := range *a.Skills {
		if err := remote.CheckID("skillId", s.SkillID); err != nil {
			return fmt.Errorf("skill %d: %w", i, err)
		}
		for _, w := range [...]string{s.Stage, s.PublicationStatus} {
			if err := checkWord(w); err != nil {
				return fmt.Errorf("skill %d: its stage or publication status is none: %w", i, err)
			}
		}
	}
	return nil
}

// next is the token of the next page: of the answer, else of its next link. Of the
// link nothing else is taken: where to ask is the account's business.
func (a *listAnswer) next() string {
	if a.NextToken != "" {
		return a.NextToken
	}
	link, err := url.Parse(a.Links.Next.Href)
	if err != nil {
		return ""
	}
	return link.Query().Get("nextToken")
}

func (a *listAnswer) summaries() []Summary {
	all := make([]Summary, 0, len(*a.Skills))
	for _, s := range *a.Skills {
		item := Summary{
			SkillID: s.SkillID, Stage: Stage(s.Stage), PublicationStatus: s.PublicationStatus, NameByLocale: s.NameByLocale, APIs: s.APIs, ASIN: s.ASIN,
		}
		if at, err := time.Parse(time.RFC3339, s.LastUpdated); err == nil {
			at = at.UTC()
			item.LastUpdated = &at
		}
		if item.NameByLocale == nil {
			item.NameByLocale = map[string]string{}
		}
		if item.APIs == nil {
			item.APIs = []string{}
		}
		all = append(all, item)
	}
	return all
}
