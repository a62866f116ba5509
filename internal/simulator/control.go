package simulator

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// control is one of the simulator's own endpoints.
type control struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Does   string `json:"does"`
	handle http.HandlerFunc
}

func (s *Simulator) controls() []control {
	return append([]control{
		{"GET", "/_sim/{$}", "this list", s.serveIndex},
		{"GET", "/_sim/history", "requests, oldest first: ?since=N or a time, unit, skill, operation, limit (1000); go on with since=next_since", s.serveHistory},
		{"GET", "/_sim/state", "true state: ?unit=U (and skill=S), or of all homes: ?skill=S (one each) or none (what is enabled), class, " +
			"format=ndjson|csv, or format=json with cursor and limit (1000)", s.serveState},
		{"GET", "/_sim/truth", "every home with what it has and what was asked of it: format=ndjson (a line a home) or csv (a line a skill), " +
			"class; or as state, every home with its class for one skill: skill=S, class=forbidden picks", s.serveTruth},
		{"POST", "/_sim/enable", `give homes skills: {"skills":["ID@stage"],"skills_per_unit":27,"units":["..."],"property":"maple-court"}; ` +
			"no units and no property is all homes", s.serveEnable},
		{"GET", "/_sim/drift", "what drift changed", s.serveDrifts},
		{"POST", "/_sim/drift", `change homes by kind: {"kind":"missing|unexpected|wrong_stage|not_linked|stuck_enabling|` +
			`reset|re_pair|remove|forbid|occupy","count":10 or "units":["..."],"property":"...","skill_id":"...","stage":"...","seed":1}`, s.serveDrift},
		{"GET", "/_sim/stats", "counters: ?seconds=N adds the last N seconds, one by one", s.serveStats},
		{"POST", "/_sim/reset", `forget everything, or {"keep_state":true}: history and counters only`, s.serveReset},
		{"GET", "/_sim/limit", "the true limit of the residential API", s.serveLimit},
		{"GET", "/_sim/limits", "the true limit of each LWA client at each API", s.serveLimits},
		{"POST", "/_sim/limit", `move the limit: {"rps":100,"burst":10,"kind":"enterprise|developer|customer","api":"residential|manifest|` +
			`enablement|notifications","client":"..."}; rps 0 is none, burst 0 is rps/10; kind, api and client narrow it`, s.serveSetLimit},
		{"GET", "/_sim/faults", "how the API misbehaves", s.serveFaults},
		{"POST", "/_sim/faults", `change that: {"preset":"harsh","throttle":0.3,"slow_for":"2s"}; what is not named stays`, s.serveSetFaults},
		{"POST", "/_sim/units/{unit}", `change a home: {"action":"enable|disable|forbid|remove|reset|re_pair|occupy|vacate|allow|add",` +
			`"skill_id":"...","stage":"live","status":"ENABLED","new_unit_id":"..."}`, s.serveChangeUnit},
		{"POST", "/_sim/skills/{skill}", `change a skill: {"exists":true,"linking":false,"publication_status":"HIDDEN",` +
			`"build":{"fail":true,"errors":[{"code":"...","message":"..."}],"warnings":[],"delay":"2s"},"hosted":true,"seed_spelling":true}`, s.serveChangeSkill},
		{"POST", "/_sim/publish", `put a skill's development stage live and send the event: {"skill_id":"...","vendor_id":"...","fail":false}`, s.servePublish},
		{"POST", "/_sim/builds", `change how long manifests build, or end the builds under way: {"delay":"2s","finish":true}`, s.serveBuilds},
		{"POST", "/_sim/accounts/{client}", `change an LWA client: {"refresh_token":"...","client_secret":"...",` +
			`"revoke_refresh_token":true,"expire_access_tokens":true,"rotate":true,"region":"na|eu|fe"}`, s.serveChangeAccount},
		{"POST", "/_sim/accounts/{client}/skills/{skill}", `change what a customer has of a skill: {"status":"ENABLING_FAILED","stage":"live",` +
			`"linked":true}; it stays so until a write`, s.serveChangeAssociation},
		{"POST", "/_sim/regions", `change the customers' endpoints: {"states":{"eu":"down|error|no_answer or empty"},` +
			`"discovery_status":503,"discovery_endpoints":["na","eu"]}`, s.serveRegions},
		{"POST", "/_sim/customer-codes", `an authorization code for a customer: {"skill_id":"...","redirect_uri":"...","code_challenge":"..."} ` +
			`-> {"code":"..."}`, s.serveCustomerCode},
		{"GET", "/_sim/inventory.csv", "the homes, for fleetctl unit import", s.serveInventory},
		{"POST", "/_sim/codes", `the code server: {"account":"...","unit_id":"...","skill_id":"...","redirect_uri":"..."} -> {"code":"..."}`, s.serveCode},
	}, s.eventControls()...)
}

func (s *Simulator) serveIndex(w http.ResponseWriter, _ *http.Request) {
	sendJSON(w, http.StatusOK, map[string]any{"controls": s.controls()})
}

const (
	defaultPage    = 1000
	maxControlBody = 256 << 20 // a million unit IDs
)

// number reads a number of the query, value if it is not there.
func number(q url.Values, name string, value int) (int, error) {
	if !q.Has(name) {
		return value, nil
	}
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s: %q: must be a whole number, 0 or more", name, q.Get(name))
	}
	return n, nil
}

func (s *Simulator) serveHistory(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p := HistoryParams{UnitID: q.Get("unit"), SkillID: q.Get("skill"), Operation: Operation(q.Get("operation"))}
	limit, err := number(q, "limit", defaultPage)
	p.Limit = max(1, limit)
	if p.Operation != "" && !slices.Contains(Operations(), p.Operation) {
		err = errors.Join(err, fmt.Errorf("operation: %q: must be one of %v", p.Operation, Operations()))
	}
	if since := q.Get("since"); since != "" {
		var notNumber, notTime error
		p.Since, notNumber = strconv.ParseUint(since, 10, 64)
		if notNumber != nil {
			p.After, notTime = time.Parse(time.RFC3339, since)
		}
		if notTime != nil {
			err = errors.Join(err, fmt.Errorf("since: %q: must be the n of an entry, or a time such as 2026-01-02T15:04:05Z", since))
		}
	}
	if err != nil {
		sendError(w, http.StatusBadRequest, err)
		return
	}
	items, next := s.HistoryPage(p)
	sendJSON(w, http.StatusOK, map[string]any{"items": items, "next_since": next})
}

func (s *Simulator) serveStats(w http.ResponseWriter, r *http.Request) {
	seconds, err := number(r.URL.Query(), "seconds", 0)
	if err != nil {
		sendError(w, http.StatusBadRequest, err)
		return
	}
	sendJSON(w, http.StatusOK, s.StatsOf(time.Duration(min(seconds, seriesSeconds))*time.Second))
}

func (s *Simulator) serveState(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	unit, skill, class := q.Get("unit"), q.Get("skill"), Class(q.Get("class"))
	limit, err := number(q, "limit", defaultPage)
	from, err2 := number(q, "cursor", 0)
	err = errors.Join(err, err2)
	if class != "" && !slices.Contains(Classes(), class) {
		err = errors.Join(err, fmt.Errorf("class: %q: must be one of %v", class, Classes()))
	}
	pick := func(states []State) []State {
		return slices.DeleteFunc(states, func(st State) bool { return class != "" && st.Class != class })
	}
	format := q.Get("format")
	switch {
	case err != nil:
		sendError(w, http.StatusBadRequest, err)
	case unit != "" && skill != "":
		sendJSON(w, http.StatusOK, s.State(unit, skill))
	case unit != "":
		sendJSON(w, http.StatusOK, map[string]any{"items": append([]State{}, s.Records(unit)...)})
	case format == "json":
		states, next := s.States(skill, from, max(1, limit))
		page := map[string]any{"items": append([]State{}, pick(states)...), "next_cursor": ""}
		if next > 0 {
			page["next_cursor"] = strconv.Itoa(next)
		}
		sendJSON(w, http.StatusOK, page)
	case format == "" || format == "ndjson" || format == "csv":
		s.streamStates(w, skill, format, pick)
	default:
		sendError(w, http.StatusBadRequest, fmt.Errorf("format: %q: must be ndjson, csv or json", format))
	}
}

// streamStates writes the state of all homes, some at a time so that requests get through.
func (s *Simulator) streamStates(w http.ResponseWriter, skill, format string, pick func([]State) []State) {
	write, end := ndjsonStates(w)
	if format == "csv" {
		write, end = csvStates(w)
	}
	for from := 0; ; {
		states, next := s.States(skill, from, 500)
		for _, st := range pick(states) {
			if write(st) != nil {
				return // The client is gone.
			}
		}
		if from = next; from == 0 {
			end()
			return
		}
	}
}

func ndjsonStates(w http.ResponseWriter) (write func(State) error, end func()) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	return func(st State) error { return enc.Encode(st) }, func() {}
}

func csvStates(w http.ResponseWriter) (write func(State) error, end func()) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	out := csv.NewWriter(w)
	_ = out.Write([]string{"unit_id", "skill_id", "status", "stage", "account_link", "class", "writes"}) // An error stays till the next.
	return func(st State) error {
		return out.Write([]string{
			st.UnitID, st.SkillID, string(st.Status), string(st.Stage), string(st.AccountLink), string(st.Class), strconv.Itoa(st.Writes),
		})
	}, out.Flush
}

func (s *Simulator) serveReset(w http.ResponseWriter, r *http.Request) {
	var request struct {
		KeepState bool `json:"keep_state"`
	}
	if receive(w, r, &request) {
		s.Reset(request.KeepState)
		sendJSON(w, http.StatusOK, request)
	}
}

func (s *Simulator) serveLimit(w http.ResponseWriter, _ *http.Request) {
	sendJSON(w, http.StatusOK, s.Stats().Limit)
}

func (s *Simulator) serveLimits(w http.ResponseWriter, _ *http.Request) {
	sendJSON(w, http.StatusOK, map[string]any{"items": s.Limits()})
}

func (s *Simulator) serveSetLimit(w http.ResponseWriter, r *http.Request) {
	var p LimitParams
	if receive(w, r, &p) {
		err := s.SetLimitOf(p)
		reply(w, err, p.withDefaults())
	}
}

func (s *Simulator) serveFaults(w http.ResponseWriter, _ *http.Request) {
	sendJSON(w, http.StatusOK, s.Faults())
}

func (s *Simulator) serveSetFaults(w http.ResponseWriter, r *http.Request) {
	faults := s.Faults()
	if receive(w, r, &faults) {
		reply(w, s.SetFaults(faults), faults)
	}
}

func (s *Simulator) serveChangeUnit(w http.ResponseWriter, r *http.Request) {
	var change Change
	if receive(w, r, &change) {
		err := s.change(r.PathValue("unit"), &change)
		reply(w, err, change)
	}
}

func (s *Simulator) serveChangeAccount(w http.ResponseWriter, r *http.Request) {
	var change AccountChange
	if receive(w, r, &change) {
		// The answer does not repeat the secrets.
		reply(w, s.ChangeAccount(r.PathValue("client"), change), map[string]string{"client_id": r.PathValue("client")})
	}
}

func (s *Simulator) serveInventory(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	_ = s.WriteInventory(w) // It fails only when the client is gone.
}

// receive reads the JSON body of a control request into v. No body leaves v as it is.
func receive(w http.ResponseWriter, r *http.Request, v any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		sendError(w, http.StatusBadRequest, fmt.Errorf("body: %w", err))
		return false
	}
	return true
}

// reply answers a control request that was done, or could not be.
func reply(w http.ResponseWriter, err error, v any) {
	if err != nil {
		sendError(w, http.StatusBadRequest, err)
		return
	}
	sendJSON(w, http.StatusOK, v)
}
