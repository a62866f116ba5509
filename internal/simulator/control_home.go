package simulator

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

func (s *Simulator) serveEnable(w http.ResponseWriter, r *http.Request) {
	var p EnableParams
	if receive(w, r, &p) {
		homes, err := s.Enable(p)
		reply(w, err, map[string]int{"homes": homes})
	}
}

func (s *Simulator) serveDrifts(w http.ResponseWriter, _ *http.Request) {
	sendJSON(w, http.StatusOK, map[string]any{"items": append([]Drift{}, s.Drifts()...)})
}

func (s *Simulator) serveDrift(w http.ResponseWriter, r *http.Request) {
	var p DriftParams
	if receive(w, r, &p) {
		made, err := s.Drift(p)
		reply(w, err, map[string]any{"items": made})
	}
}

// serveTruth tells of every home as it is, or with a skill what is to be expected of that.
func (s *Simulator) serveTruth(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	format, class := q.Get("format"), Class(q.Get("class"))
	switch {
	case q.Get("skill") != "":
		s.serveState(w, r)
		return
	case format != "" && format != "ndjson" && format != "csv":
		sendError(w, http.StatusBadRequest, fmt.Errorf("format: %q: must be ndjson or csv", format))
		return
	case class != "" && !slices.Contains([]Class{ClassOK, ClassForbidden, ClassNotFound}, class):
		sendError(w, http.StatusBadRequest, fmt.Errorf("class: %q: must be ok, forbidden or not_found", class))
		return
	}
	write, end := ndjsonHomes(w)
	if format == "csv" {
		write, end = csvHomes(w)
	}
	for from := 0; ; {
		homes, next := s.HomeStates(from, 500)
		for _, h := range homes {
			if class != "" && h.Class != class {
				continue
			}
			if write(h) != nil {
				return // The client is gone.
			}
		}
		if from = next; from == 0 {
			end()
			return
		}
	}
}

func ndjsonHomes(w http.ResponseWriter) (write func(HomeState) error, end func()) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	return func(h HomeState) error { return enc.Encode(h) }, func() {}
}

// csvHomes writes a line a skill, and one without a skill for a home that has none.
func csvHomes(w http.ResponseWriter) (write func(HomeState) error, end func()) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	out := csv.NewWriter(w)
	_ = out.Write([]string{ // An error stays till the next.
		"unit_id", "property", "occupancy", "class", "list_pages", "complete_lists", "writes", "skill_id", "status", "stage", "account_link",
	})
	return func(h HomeState) error {
		skills := h.Skills
		if len(skills) == 0 {
			skills = []SkillState{{}}
		}
		for _, k := range skills {
			if err := out.Write([]string{
				h.UnitID, h.Property, string(h.Occupancy), string(h.Class),
				strconv.Itoa(h.ListPages), strconv.Itoa(h.CompleteLists), strconv.Itoa(h.Writes),
				k.SkillID, string(k.Status), string(k.Stage), string(k.AccountLink),
			}); err != nil {
				return err
			}
		}
		return nil
	}, out.Flush
}
