package simulator

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"fleetd/internal/simulator/topic"
)

// Simulator is the stand-in. It is an http.Handler; its methods are the same
// controls that /_sim/ has. Everything in it may be used at the same time.
type Simulator struct {
	cfg   Config
	start time.Time
	mux   *http.ServeMux // all but the APIs
	sns   *topic.Service // locks by itself

	mu           sync.Mutex // one lock: a request holds it for a microsecond or two
	limit        Limit
	faults       Faults
	rotate       bool
	buildDelay   time.Duration
	accounts     []*account
	grants       map[string]grant // by access token
	codes        codes
	skills       map[string]*skill
	products     []*skill              // those that have one, in the order they were made
	produced     uint64                // skills made so far
	associations map[pair]*association // of customers
	regions      map[string]RegionState
	discovery    discovery
	units        *directory
	drifts       []Drift // that were injected
	history      history
	texts        map[string]string
	meter        meter
	counts       counts
	notices      notifications
	issued       uint64 // access tokens and refresh tokens, for their texts
}

// New makes a Simulator of the world that cfg describes. It panics when
// cfg.Validate reports an error; check first what people entered.
func New(cfg Config) *Simulator {
	if err := cfg.Validate(); err != nil {
		panic(fmt.Sprintf("simulator.New: %v", err))
	}
	cfg = cfg.withDefaults()
	s := &Simulator{cfg: cfg, start: time.Now(), grants: map[string]grant{}}
	s.sns = topic.New(topic.Config{RetryDelay: cfg.HookRetryDelay, Seed: cfg.Seed})
	s.limit = Limit{RPS: cfg.RPS, Burst: cfg.Burst}.withDefaults()
	s.faults, s.rotate, s.buildDelay = cfg.Faults, cfg.RotateRefreshTokens, cfg.BuildDelay
	for _, a := range cfg.Accounts {
		s.accounts = append(s.accounts, newAccount(a, s.limit))
	}
	s.begin()
	s.mux = s.routes()
	return s
}

// begin puts the world back to its first day. Limit, faults and accounts stay.
func (s *Simulator) begin() {
	s.skills, s.texts = map[string]*skill{}, map[string]string{}
	s.codes = codes{byText: map[string]*code{}}
	s.drifts = nil
	s.products, s.produced = nil, 0
	s.associations, s.regions, s.discovery = map[pair]*association{}, map[string]RegionState{}, discovery{}
	s.notices = notifications{}
	s.sns.Reset()
	enabled := slices.Concat(baseSkills(s.cfg.SkillsPerUnit), s.cfg.Enabled)
	for _, e := range enabled {
		s.skill(e.SkillID).exists = true
	}
	for _, id := range s.cfg.Published {
		s.adopt(s.skill(id), s.cfg.firstVendor(), s.now())
		s.publish(s.skill(id), s.now())
	}
	s.units = newDirectory(s.cfg, s.extend(&template{}, enabled))
	s.forget()
}

// forget empties history and counters. The state stays.
func (s *Simulator) forget() {
	now := s.now()
	s.history = history{limit: s.cfg.HistoryCap}
	s.notices.events = nil
	s.sns.Forget()
	s.counts = counts{since: now, byCode: map[operationCode]uint64{}}
	s.meter = meter{}
	s.meter.setLimit(now, s.capacity())
	for _, a := range s.accounts {
		a.open(now)
	}
	for i, n := 0, s.units.len(); i < n; i++ {
		u := s.units.known(i)
		if u == nil {
			continue
		}
		u.pages, u.writes, u.wholes = 0, 0, 0
		if u.template != nil { // Its records were never written.
			continue
		}
		for _, r := range u.records {
			r.writes, r.lastWrite, r.unread = 0, 0, ""
		}
	}
}

// Reset empties history and counters and fills the buckets. Unless keepState,
// homes, skills, codes, subscribers, hooks and dice are as at the start too.
func (s *Simulator) Reset(keepState bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if keepState {
		s.forget()
		return
	}
	s.begin()
}

// Close ends the deliveries to hooks that are under way.
func (s *Simulator) Close() { s.sns.Close() }

// SetFaults changes how the API misbehaves from now on.
func (s *Simulator) SetFaults(f Faults) error {
	if err := f.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
	return nil
}

// Faults returns how the API misbehaves now.
func (s *Simulator) Faults() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults
}

// now is the time since the start, which no change of the clock disturbs.
func (s *Simulator) now() time.Duration { return time.Since(s.start) }

func (s *Simulator) wall(at time.Duration) time.Time { return s.start.Add(at) }

// ServeHTTP answers the APIs, LWA, the code server and the controls.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if first == "v1" || first == "v0" || isRegion(first) {
		s.serveAPI(w, r)
		return
	}
	if _, pattern := s.mux.Handler(r); pattern == "" {
		w = &inJSON{ResponseWriter: w, first: first}
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Simulator) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /auth/o2/token", s.serveToken)
	mux.HandleFunc("POST /auth/O2/token", s.serveToken)
	for _, c := range s.controls() {
		mux.HandleFunc(c.Method+" "+c.Path, c.handle)
	}
	return mux
}
