package simulator

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"fleetd/internal/fleet"
)

// maxManifest is the most that the body of a create or an update may be.
const maxManifest = 1 << 20

// stageCertified is fleet.StageCertification in the manifest API.
const stageCertified = "certified"

// manifestEndpoints are the operations of the skill manifest API (seed 002).
func manifestEndpoints() []endpoint {
	const all, one, edition = "/v1/skills", "/v1/skills/{skill}", "/v1/skills/{skill}/stages/{stage}/manifest"
	of := func(op Operation, method, path string, read func(*call, *http.Request) work) endpoint {
		return endpoint{
			operation: op, api: APIManifest, kind: fleet.CredentialDeveloper, method: method, path: path,
			write: method != http.MethodGet, read: read,
		}
	}
	return []endpoint{
		of(OperationCreateSkill, http.MethodPost, all, readCreateSkill),
		of(OperationListSkills, http.MethodGet, all, readListSkills),
		of(OperationListSkills, http.MethodGet, one, readListSkills), // seed 002 has the query in the path
		of(OperationDeleteSkill, http.MethodDelete, one, readDeleteSkill),
		of(OperationSkillStatus, http.MethodGet, one+"/status", readSkillStatus),
		of(OperationGetManifest, http.MethodGet, edition, readGetManifest),
		of(OperationUpdateManifest, http.MethodPut, edition, readUpdateManifest),
	}
}

func readCreateSkill(c *call, r *http.Request) work {
	var vendor string
	var m manifest
	if body, wrong := readObject(r.Body, maxManifest); wrong != "" {
		c.wrong = wrong
	} else if err := field(body, "vendorId", &vendor); err != nil || vendor == "" {
		c.violate("MISSING_REQUIRED_PROPERTY", "vendorId is missing, or not a text.")
	} else {
		m = c.readManifest(body["manifest"])
	}
	return func(s *Simulator) {
		if !s.vendor(c, vendor) {
			return
		}
		k := s.skill("amzn1.ask.skill." + s.uuid(hash(hashText(vendor), s.produced, 's')))
		s.produce(k, c.account.VendorID)
		c.line.skill, c.line.applied = k.id, true
		s.startBuild(k, build{stage: fleet.StageDevelopment, manifest: m, requestID: s.requestID(c.line.n)}, c.now)
		c.reply(http.StatusAccepted, map[string]string{"skillId": k.id})
		c.answer.location = statusOf(k)
	}
}

func readDeleteSkill(c *call, r *http.Request) work {
	c.readSkill()
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxBody)) // It has none; an official client may send one in chunks.
	return func(s *Simulator) {
		if k := s.own(c); k != nil {
			s.discard(k)
			c.line.applied = true
			c.done(http.StatusNoContent)
		}
	}
}

func readGetManifest(c *call, _ *http.Request) work {
	c.readSkill()
	stage := c.readStage()
	return func(s *Simulator) {
		k := s.own(c)
		if k == nil {
			return
		}
		e := k.product.editions[stage]
		switch {
		case k.product.build.stage == stage && (e == nil || k.product.build.status == buildRunning):
			c.done(http.StatusSeeOther)
			c.answer.location = statusOf(k)
		case e == nil:
			c.problem(http.StatusNotFound, "NotFound", "The requested skill stage can't be found.")
		default:
			// It may be large, and is JSON already: encoding it would hold up the homes.
			body := slices.Concat([]byte(`{"manifest":`), e.manifest.text, []byte(`}`))
			c.answer = answer{status: http.StatusOK, body: body, etag: e.etag}
		}
	}
}

func readUpdateManifest(c *call, r *http.Request) work {
	c.readSkill()
	stage := c.readStage()
	var m manifest
	if body, wrong := readObject(r.Body, maxManifest); wrong != "" {
		c.wrong = wrong
	} else {
		m = c.readManifest(body["manifest"])
	}
	match := strings.Trim(strings.TrimPrefix(r.Header.Get("If-Match"), "W/"), `"`)
	return func(s *Simulator) {
		k := s.own(c)
		if k == nil {
			return
		}
		e, last := k.product.editions[stage], &k.product.build
		switch {
		case e == nil && last.stage != stage: // A build that failed can be mended, too.
			c.problem(http.StatusNotFound, "NotFound", "The requested skill stage can't be found.")
		case last.status == buildRunning:
			c.problem(http.StatusConflict, "Conflict", "The skill is being built. Try again when it is done.")
		case match != "" && match != "*" && (e == nil || match != e.etag):
			c.problem(http.StatusPreconditionFailed, "PreconditionFailed", "The manifest is not the one that If-Match names.")
		default:
			s.startBuild(k, build{stage: stage, manifest: m, requestID: s.requestID(c.line.n)}, c.now)
			c.line.applied = true
			c.doneAs(http.StatusAccepted)
			c.answer.location = statusOf(k)
		}
	}
}

// statusOf is where the build of a skill is followed, relative as the API has it.
func statusOf(k *skill) string { return "/v1/skills/" + k.id + "/status?resource=manifest" }

// readSkill checks the skill ID in the path.
func (c *call) readSkill() {
	if !validID(c.args[0]) {
		c.violate("INVALID_STRING_LENGTH", "skillId must have 1 to 255 characters.")
	}
}

// readStage reads the stage in the path. The middle one has two spellings.
func (c *call) readStage() fleet.Stage {
	for _, stage := range fleet.Stages() {
		if c.args[1] == string(stage) || c.args[1] == manifestStage(stage) {
			c.line.stage = stage
			return stage
		}
	}
	c.violate("INVALID_ENUM_VALUE", "stage must be development, certified or live.")
	return ""
}

// violate notes what is wrong with the request.
func (c *call) violate(code, message string) {
	if c.wrong == "" {
		c.wrong = message
	}
	c.violations = append(c.violations, BuildMessage{Code: code, Message: message})
}

// readManifest reads what the simulator cares for in a manifest.
func (c *call) readManifest(text json.RawMessage) manifest {
	root, err := object(text)
	if err != nil {
		c.violate("MISSING_REQUIRED_PROPERTY", "manifest is missing, or not an object.")
		return manifest{}
	}
	m := manifest{text: text, names: map[string]string{}}
	var version string
	var publishing, apis, locales map[string]json.RawMessage
	if field(root, "manifestVersion", &version) != nil || version == "" {
		c.violate("MISSING_REQUIRED_PROPERTY", "manifest.manifestVersion is missing, or not a text.")
	}
	if field(root, "publishingInformation", &publishing) != nil || field(root, "apis", &apis) != nil || field(publishing, "locales", &locales) != nil {
		c.violate("INVALID_DATA_TYPE", "manifest.publishingInformation, its locales and manifest.apis must be objects.")
	}
	for _, locale := range slices.Sorted(maps.Keys(locales)) {
		var name string
		fields, err := object(locales[locale])
		switch {
		case err != nil || field(fields, "name", &name) != nil:
			c.violate("INVALID_DATA_TYPE", "manifest.publishingInformation.locales."+locale+" must be an object, and its name a text.")
		case len(name) > 255:
			c.violate("INVALID_STRING_LENGTH", "The property is outside the allowed range: manifest.publishingInformation.locales."+locale+".name.")
		}
		m.names[locale] = name
	}
	m.apis = slices.Sorted(maps.Keys(apis))
	return m
}

// vendor reports whether the client may act for a vendor, or answers.
func (s *Simulator) vendor(c *call, id string) bool {
	if id == c.account.VendorID {
		return true
	}
	if slices.ContainsFunc(s.accounts, func(a *account) bool { return a.VendorID == id }) {
		c.problem(http.StatusForbidden, "Forbidden", "The user doesn't belong to the vendor.")
	} else {
		c.problem(http.StatusNotFound, "NotFound", "The vendor can't be found.")
	}
	return false
}

// own returns the skill that the path names when the client may manage it, or
// answers and returns nil.
func (s *Simulator) own(c *call) *skill {
	c.line.skill = strings.Clone(c.args[0])
	k := s.skills[c.args[0]]
	switch {
	case k == nil || k.product == nil:
		c.problem(http.StatusNotFound, "NotFound", "The requested skill ID can't be found.")
		return nil
	case k.product.vendor != c.account.VendorID:
		c.problem(http.StatusForbidden, "Forbidden", "The skill belongs to another vendor.")
		return nil
	}
	s.settleBuild(k, c.now)
	return k
}
