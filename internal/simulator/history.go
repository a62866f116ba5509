package simulator

import (
	"slices"
	"strings"
	"time"

	"fleetd/internal/fleet"
)

// Operation is what a request asked for. The set is closed.
type Operation string

// The operations.
const (
	OperationGet     Operation = "get"
	OperationList    Operation = "list"
	OperationEnable  Operation = "enable"
	OperationDisable Operation = "disable"
	OperationToken   Operation = "token" // LWA
	OperationCode    Operation = "code"  // the code server

	OperationCreateSkill    Operation = "create_skill"
	OperationDeleteSkill    Operation = "delete_skill"
	OperationListSkills     Operation = "list_skills"
	OperationSkillStatus    Operation = "skill_status"
	OperationGetManifest    Operation = "get_manifest"
	OperationUpdateManifest Operation = "update_manifest"

	OperationDeveloperEnable  Operation = "developer_enable"
	OperationDeveloperStatus  Operation = "developer_status"
	OperationDeveloperDisable Operation = "developer_disable"
	OperationAPIEndpoint      Operation = "api_endpoint"
	OperationCustomerEnable   Operation = "customer_enable"
	OperationCustomerStatus   Operation = "customer_status"
	OperationCustomerDisable  Operation = "customer_disable"
)

// Operations lists every operation.
func Operations() []Operation {
	return slices.Concat([]Operation{
		OperationGet, OperationList, OperationEnable, OperationDisable, OperationToken, OperationCode,
		OperationCreateSkill, OperationDeleteSkill, OperationListSkills, OperationSkillStatus, OperationGetManifest, OperationUpdateManifest,
		OperationDeveloperEnable, OperationDeveloperStatus, OperationDeveloperDisable,
		OperationAPIEndpoint, OperationCustomerEnable, OperationCustomerStatus, OperationCustomerDisable,
	}, notificationOperations())
}

func (o Operation) write() bool { return o == OperationEnable || o == OperationDisable }

// Entry is one request in the history.
type Entry struct {
	N              uint64      `json:"n"` // counts from 1, without gaps
	Time           time.Time   `json:"time"`
	Operation      Operation   `json:"operation"`
	UnitID         string      `json:"unit_id,omitempty"`
	SkillID        string      `json:"skill_id,omitempty"`
	Stage          fleet.Stage `json:"stage,omitempty"`
	Status         int         `json:"status"` // 0: the connection was cut
	RequestID      string      `json:"request_id"`
	Faults         []Fault     `json:"faults,omitempty"`
	Applied        bool        `json:"applied"`              // it changed the state
	Write          bool        `json:"write"`                // it could have
	DuplicateWrite bool        `json:"duplicate_write"`      // of the same kind as the last one, without a read since
	ClientGone     bool        `json:"client_gone"`          // it did not wait for the answer
	Client         string      `json:"client,omitempty"`     // the LWA client ID
	UserAgent      string      `json:"user_agent,omitempty"` // tells processes apart
}

// line is an Entry as it is kept: small, and without anything of the request.
type line struct {
	n         uint64
	at        time.Duration
	operation Operation
	unit      *unit
	unitID    string // when there is no such unit
	skill     string
	stage     fleet.Stage
	client    string
	agent     string
	faults    faultSet
	status    int16
	applied   bool
	write     bool
	duplicate bool
	gone      bool
}

// history remembers the last requests.
type history struct {
	limit int
	lines []line // a ring once it is full
	last  uint64 // the number of the last request
}

func (h *history) add(l line) {
	if h.limit == 0 {
		return
	}
	if len(h.lines) < h.limit {
		h.lines = append(h.lines, l)
		return
	}
	h.lines[(l.n-1)%uint64(h.limit)] = l //nolint:gosec // the limit is positive
}

// first is the number of the oldest request remembered.
func (h *history) first() uint64 { return h.last - uint64(len(h.lines)) + 1 }

// at returns the line of request n, which must be remembered.
func (h *history) at(n uint64) *line {
	return &h.lines[(n-1)%uint64(max(1, h.limit))]
}

// HistoryParams chooses entries of the history. The zero value is all of them.
type HistoryParams struct {
	Since     uint64    // only entries with a higher N
	After     time.Time // only later ones
	UnitID    string
	SkillID   string
	Operation Operation
	Limit     int // at most so many; 0 is all
}

// History returns the requests that are remembered, oldest first.
func (s *Simulator) History() []Entry {
	entries, _ := s.HistoryPage(HistoryParams{})
	return entries
}

// HistoryPage returns the entries that p chooses, oldest first, and the N to go
// on from as Since: the last entry looked at.
func (s *Simulator) HistoryPage(p HistoryParams) (entries []Entry, next uint64) {
	lines, next := s.historyLines(p)
	entries = make([]Entry, len(lines))
	for i := range lines {
		entries[i] = s.entry(&lines[i])
	}
	return entries, next
}

func (s *Simulator) historyLines(p HistoryParams) (lines []line, next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var wanted *unit
	if p.UnitID != "" {
		wanted = s.units.find(p.UnitID)
	}
	for n := max(p.Since+1, s.history.first()); n <= s.history.last; n++ {
		if p.Limit > 0 && len(lines) == p.Limit {
			return lines, n - 1
		}
		l := s.history.at(n)
		switch {
		case p.UnitID != "" && (l.unit != wanted || wanted == nil && l.unitID != p.UnitID),
			p.SkillID != "" && l.skill != p.SkillID,
			p.Operation != "" && l.operation != p.Operation,
			!p.After.IsZero() && !s.wall(l.at).After(p.After):
			continue
		}
		lines = append(lines, *l)
	}
	return lines, s.history.last
}

func (s *Simulator) entry(l *line) Entry {
	e := Entry{
		N: l.n, Time: s.wall(l.at).UTC(), Operation: l.operation, UnitID: l.unitID, SkillID: l.skill, Stage: l.stage,
		Status: int(l.status), RequestID: s.requestID(l.n), Faults: l.faults.list(), Applied: l.applied, Write: l.write,
		DuplicateWrite: l.duplicate, ClientGone: l.gone, Client: l.client, UserAgent: l.agent,
	}
	if l.unit != nil {
		e.UnitID = s.units.id(l.unit, false)
	}
	return e
}

// intern keeps one copy of a short string that requests repeat.
func (s *Simulator) intern(text string) string {
	const most = 1000
	if text == "" {
		return ""
	}
	if kept, ok := s.texts[text]; ok {
		return kept
	}
	if len(s.texts) >= most || len(text) > 255 {
		return "other"
	}
	text = strings.Clone(text)
	s.texts[text] = text
	return text
}
