package simulator

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"fleetd/internal/fleet"
)

// maxSkillIDs is how many skills a list may be asked for by ID.
const maxSkillIDs = 10

// summary is a skill at a stage, which a list of skills has an item for.
type summary struct {
	skill *skill
	stage fleet.Stage
	key   string
}

// readListSkills reads GET /v1/skills?vendorId=V, or /v1/skills/vendorId=V as
// seed 002 spells it.
func readListSkills(c *call, r *http.Request) work {
	q := r.URL.Query()
	if inPath, err := url.ParseQuery(c.args[0]); err == nil {
		for name, values := range inPath {
			q[name] = append(q[name], values...)
		}
	}
	vendor, ids := q.Get("vendorId"), q["skillId"]
	p := c.readPaging(q, 50)
	p.query = hash(hashText(vendor), hashText(strings.Join(ids, " "))) // official clients may go on with pages of another size
	switch {
	case vendor == "":
		c.violate("MISSING_REQUIRED_PROPERTY", "vendorId is missing.")
	case len(ids) > maxSkillIDs:
		c.violate("INVALID_ARRAY_SIZE", "skillId can be given 10 times at most.")
	case len(ids) > 0 && (q.Has("nextToken") || q.Has("maxResults")):
		c.violate("INVALID_COMBINATION", "skillId can't be combined with nextToken or maxResults.")
	}
	if len(ids) > 0 {
		p.size = len(ids) * len(fleet.Stages())
	}
	self := "/v1/skills?vendorId=" + url.QueryEscape(vendor)
	if size := q.Get("maxResults"); size != "" {
		self += "&maxResults=" + url.QueryEscape(size)
	}
	return func(s *Simulator) {
		if s.vendor(c, vendor) {
			s.listSkills(c, p, ids, self)
		}
	}
}

// listSkills answers a page; self is the path of the request but for its token.
func (s *Simulator) listSkills(c *call, p paging, ids []string, self string) {
	var all []summary
	for _, k := range s.products {
		if k.product.vendor != c.account.VendorID || len(ids) > 0 && !slices.Contains(ids, k.id) {
			continue
		}
		s.settleBuild(k, c.now)
		for i, stage := range fleet.Stages() {
			if k.product.editions[stage] != nil {
				all = append(all, summary{skill: k, stage: stage, key: fmt.Sprintf("%012d.%d", k.product.n, i)})
			}
		}
	}
	shown, f, ok := pageOf(s, c, p, all, func(v summary) string { return v.key })
	if !ok {
		return
	}
	items := make([]map[string]any, 0, len(shown))
	for _, v := range shown {
		items = append(items, s.summarize(v))
	}
	links := map[string]any{"self": map[string]string{"href": self}}
	body := map[string]any{"skills": items, "isTruncated": f.token != "", "_links": links}
	switch {
	case f.token != "":
		body["nextToken"] = f.token
		links["next"] = map[string]string{"href": self + "&nextToken=" + url.QueryEscape(f.token)}
	case f.null:
		body["nextToken"] = nil
	}
	c.reply(http.StatusOK, body)
}

func (s *Simulator) summarize(v summary) map[string]any {
	e := v.skill.product.editions[v.stage]
	item := map[string]any{
		"skillId": v.skill.id, "stage": manifestStage(v.stage), "publicationStatus": e.status, "apis": append([]string{}, e.manifest.apis...),
		"nameByLocale": e.manifest.names, "lastUpdated": s.wall(e.updated).UTC().Format("2006-01-02T15:04:05.000Z"),
		"_links": map[string]any{"self": map[string]string{"href": "/v1/skills/" + v.skill.id + "/stages/" + manifestStage(v.stage) + "/manifest"}},
	}
	if v.stage == fleet.StageLive {
		item["asin"] = "B0" + string(appendText(nil, v.skill.key, 8))
	}
	return item
}

// manifestStage spells a stage as the manifest API does: the middle one has another
// name there than elsewhere (facts 1.5).
func manifestStage(stage fleet.Stage) string {
	if stage == fleet.StageCertification {
		return stageCertified
	}
	return string(stage)
}

// The resources that a skill status is about, as the newer pages spell them.
const (
	resourceManifest         = "manifest"
	resourceInteractionModel = "interactionModel"
	resourceDeployment       = "hostedSkillDeployment"
	resourceProvisioning     = "hostedSkillProvisioning"
)

func readSkillStatus(c *call, r *http.Request) work {
	c.readSkill()
	wanted := map[string]bool{}
	for _, name := range r.URL.Query()["resource"] {
		switch name {
		case "hostedSkillProvision": // in the sample of seed 002
			name = resourceProvisioning
		case resourceManifest, resourceInteractionModel, resourceDeployment, resourceProvisioning:
		default:
			c.violate("INVALID_ENUM_VALUE", "resource must be manifest, interactionModel, hostedSkillDeployment or hostedSkillProvisioning.")
		}
		wanted[name] = true
	}
	return func(s *Simulator) {
		k := s.own(c)
		if k == nil {
			return
		}
		body := k.product.describe()
		if len(wanted) > 0 {
			maps.DeleteFunc(body, func(name string, _ any) bool { return !wanted[name] })
		}
		if k.product.seed002 {
			respell(body)
		}
		c.reply(http.StatusOK, body)
	}
}

// describe is the status of every resource the skill has. A custom skill has an
// interaction model in each locale, built with the manifest.
func (p *product) describe() map[string]any {
	last := map[string]any{
		"status": p.build.status, "errors": append([]BuildMessage{}, p.build.errors...), "warnings": append([]BuildMessage{}, p.build.warnings...),
	}
	body := map[string]any{}
	own := map[string]any{"lastUpdateRequest": last}
	if e := p.editions[p.build.stage]; e != nil {
		own["eTag"] = e.etag
		if p.build.status == buildSucceeded {
			last["version"] = fmt.Sprint(e.version)
		}
	}
	body[resourceManifest] = own
	if slices.Contains(p.build.manifest.apis, "custom") {
		body[resourceInteractionModel] = p.models()
	}
	if p.hosted {
		request := func(more map[string]any) map[string]any {
			v := map[string]any{"status": p.build.status, "errors": []BuildMessage{}, "warnings": []BuildMessage{}}
			maps.Copy(v, more)
			return map[string]any{"lastUpdateRequest": v}
		}
		body[resourceDeployment] = request(map[string]any{"deploymentDetails": map[string]string{
			"commitId": p.build.requestID, "logUrl": "https://console.aws.amazon.com/cloudwatch/example.1",
		}})
		body[resourceProvisioning] = request(nil)
	}
	return body
}

// models is the status of the interaction model in each locale.
func (p *product) models() map[string]any {
	models := map[string]any{}
	for locale := range p.build.manifest.names {
		model := map[string]any{"lastUpdateRequest": map[string]any{
			"status": p.build.status, "errors": []BuildMessage{}, "warnings": []BuildMessage{},
			"buildDetails": map[string]any{"steps": []map[string]any{
				{"name": "LANGUAGE_MODEL_FULL_BUILD", "status": p.build.status, "errors": []BuildMessage{}},
			}},
		}}
		if e := p.editions[p.build.stage]; e != nil {
			model["eTag"], model["version"] = e.etag, fmt.Sprint(e.version)
		}
		models[locale] = model
	}
	return models
}

// respell spells a status as the samples of seed 002 do.
func respell(body map[string]any) {
	for _, name := range []string{resourceDeployment, resourceProvisioning} {
		if v, ok := body[name].(map[string]any); ok {
			v["lastUpdatedRequest"] = v["lastUpdateRequest"]
			delete(v, "lastUpdateRequest")
		}
	}
	if v, ok := body[resourceProvisioning]; ok {
		body["hostedSkillProvision"] = v
		delete(body, resourceProvisioning)
	}
}
