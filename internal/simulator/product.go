package simulator

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"fleetd/internal/fleet"
)

// Publication is what the store does with a skill at a stage, as the manifest API
// spells it. The set is closed.
type Publication string

// The publication statuses of seed 002.
const (
	PublicationDevelopment   Publication = "DEVELOPMENT"
	PublicationCertification Publication = "CERTIFICATION"
	PublicationCertified     Publication = "CERTIFIED"
	PublicationPublished     Publication = "PUBLISHED"
	PublicationHidden        Publication = "HIDDEN"  // who has it keeps it, nobody else gets it
	PublicationRemoved       Publication = "REMOVED" // likewise
)

// Publications lists every publication status.
func Publications() []Publication {
	return []Publication{
		PublicationDevelopment, PublicationCertification, PublicationCertified,
		PublicationPublished, PublicationHidden, PublicationRemoved,
	}
}

// product is a skill as its vendor sees it: what the manifest and enablement APIs
// know of one that was made by them, or published by a control.
type product struct {
	vendor   string
	n        uint64 // order in which they were made
	editions map[fleet.Stage]*edition
	build    build
	plan     BuildChange // of the builds to come
	enabled  fleet.Stage // for its developer; "" is not
	hosted   bool
	seed002  bool // answers are spelled as in the samples of seed 002
}

// edition is a skill at one stage.
type edition struct {
	manifest manifest
	version  int
	etag     string
	status   Publication
	updated  time.Duration
}

// building is the state of a build, as the manifest API spells it.
type building string

const (
	buildRunning   building = "IN_PROGRESS"
	buildSucceeded building = "SUCCEEDED"
	buildFailed    building = "FAILED"
)

// build is the last request to create or update the manifest of a skill.
type build struct {
	stage     fleet.Stage
	manifest  manifest
	status    building
	until     time.Duration
	requestID string
	errors    []BuildMessage
	warnings  []BuildMessage
}

// BuildMessage is an error or a warning of a build.
type BuildMessage struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// The names of manifests that end badly by themselves hold one of these.
const (
	nameFails = "FAIL"
	nameWarns = "WARN"
)

var (
	failures = []BuildMessage{
		{"INVALID_ICON", "Please provide a valid url having a valid image for small icon or large icon"},
		{"INVALID_ICON_SIZE", "Small icon size should be 108*108. Large icon size should be 512*512."},
	}
	warnings = []BuildMessage{{"MISSING_EXAMPLE_PHRASE", "Add example phrases, so that people know what to say."}}
)

// manifest is a skill manifest and what the simulator reads in it.
type manifest struct {
	text  json.RawMessage
	names map[string]string // by locale
	apis  []string          // sorted
}

// named reports whether the skill has such a word in a name.
func (m *manifest) named(word string) bool {
	for _, name := range m.names {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// produce makes a product of a skill. It has no stage yet.
func (s *Simulator) produce(k *skill, vendor string) {
	s.produced++
	k.exists = true
	k.product = &product{vendor: vendor, n: s.produced, editions: map[fleet.Stage]*edition{}}
	s.products = append(s.products, k)
}

// discard takes the skill from the vendor and from every home.
func (s *Simulator) discard(k *skill) {
	k.product, k.exists = nil, false
	s.products = slices.DeleteFunc(s.products, func(other *skill) bool { return other == k })
}

// startBuild begins to build a manifest. Nothing else may be building.
func (s *Simulator) startBuild(k *skill, b build, now time.Duration) {
	p := k.product
	delay := s.buildDelay
	if p.plan.Delay != nil {
		delay = p.plan.Delay.Duration
	}
	b.status, b.until = buildRunning, now+delay
	p.build = b
	if delay <= 0 {
		s.settleBuild(k, now)
		return
	}
	time.AfterFunc(delay, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if k.product == p && s.skills[k.id] == k { // It was not deleted, and there was no reset.
			s.settleBuild(k, s.now())
		}
	})
}

// settleBuild ends a build whose time has come and tells of it, once.
func (s *Simulator) settleBuild(k *skill, now time.Duration) {
	p := k.product
	b := &p.build
	if b.status != buildRunning || now < b.until {
		return
	}
	fails := b.manifest.named(nameFails)
	if p.plan.Fail != nil {
		fails = *p.plan.Fail
	}
	if b.warnings = p.plan.Warnings; b.warnings == nil && b.manifest.named(nameWarns) {
		b.warnings = warnings
	}
	if fails {
		b.status = buildFailed
		if b.errors = p.plan.Errors; len(b.errors) == 0 {
			b.errors = failures
		}
	} else {
		b.status = buildSucceeded
		s.edit(k, b.stage, b.manifest, now)
	}
	s.happened(occurrence{
		event: EventManifestUpdate, ok: !fails, skillID: k.id, vendorID: p.vendor, requestID: b.requestID,
	})
}

// edit gives a stage of the skill a manifest, making the stage if need be.
func (s *Simulator) edit(k *skill, stage fleet.Stage, m manifest, now time.Duration) {
	e := k.product.editions[stage]
	if e == nil {
		e = &edition{status: publicationOf(stage)}
		k.product.editions[stage] = e
	}
	e.manifest, e.updated = m, now
	e.version++
	e.etag = s.uuid(hash(k.key, hashText(string(stage)), uint64(e.version))) //nolint:gosec // counts from 1
}

func publicationOf(stage fleet.Stage) Publication {
	switch stage {
	case fleet.StageCertification:
		return PublicationCertification
	case fleet.StageLive:
		return PublicationPublished
	case fleet.StageDevelopment:
	}
	return PublicationDevelopment
}

// adopt makes a product of a skill that only homes knew, with a development stage.
func (s *Simulator) adopt(k *skill, vendor string, now time.Duration) {
	s.produce(k, vendor)
	m := placeholder(k)
	s.edit(k, fleet.StageDevelopment, m, now)
	k.product.build = build{stage: fleet.StageDevelopment, status: buildSucceeded, manifest: m}
}

// publish puts the development stage, which must be there, live.
func (s *Simulator) publish(k *skill, now time.Duration) {
	p := k.product
	delete(p.editions, fleet.StageCertification)
	s.edit(k, fleet.StageLive, p.editions[fleet.StageDevelopment].manifest, now)
	p.editions[fleet.StageLive].status = PublicationPublished
}

// placeholder is the manifest of a skill that nobody made one for: a smart home skill
// where it links accounts, for those do.
func placeholder(k *skill) manifest {
	api := "custom"
	if k.linking {
		api = "smartHome"
	}
	text, err := json.Marshal(map[string]any{
		"manifestVersion": "1.0", "apis": map[string]any{api: map[string]any{}},
		"publishingInformation": map[string]any{
			"isAvailableWorldwide": true, "locales": map[string]any{"en-US": map[string]string{"name": k.id}},
		},
	})
	if err != nil { // It is made of strings.
		panic(err)
	}
	return manifest{text: text, names: map[string]string{"en-US": k.id}, apis: []string{api}}
}
