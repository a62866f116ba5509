package simulator

import (
	"strconv"
	"time"
)

// Stats is what the simulator counted since the start or the last reset.
type Stats struct {
	Since time.Time `json:"since"`
	Limit Limit     `json:"limit"`
	Rates           // of the residential API, all clients together

	Accounts    map[string]Rates                `json:"accounts"`     // of the residential API, by LWA client ID
	APIs        map[API]map[string]Rates        `json:"apis"`         // of the others, by LWA client ID
	ByOperation map[Operation]map[string]uint64 `json:"by_operation"` // status -> requests; "0" is a cut connection
	Faults      map[Fault]uint64                `json:"faults"`

	HomeStats

	Writes              uint64        `json:"writes"`                // could have changed a home
	Applied             uint64        `json:"applied"`               // changed a home
	MaxWrites           int           `json:"max_writes"`            // of any one (unit, skill)
	DoubleWrites        uint64        `json:"double_writes"`         // of the same kind as the one before, without a read in between
	DoubleWriteExamples []DoubleWrite `json:"double_write_examples"` // the first 100

	CodesMinted    uint64 `json:"codes_minted"`
	CodesUsed      uint64 `json:"codes_used"`
	CodesReused    uint64 `json:"codes_reused"`  // attempts to use one again
	CodesRefused   uint64 `json:"codes_refused"` // other bad codes: unknown, too old, of another unit, skill or redirect URI
	TokenRefreshes uint64 `json:"token_refreshes"`
	TokenRefusals  uint64 `json:"token_refusals"`
}

// Rates is how fast the requests of one LWA client to one API came, or of all clients.
type Rates struct {
	Requests         uint64     `json:"requests"` // accepted + refused
	Accepted         uint64     `json:"accepted"` // let through by the limit
	Refused          uint64     `json:"refused"`  // answered 429
	MaxRequestsIn1s  int        `json:"max_requests_in_1s"`
	MaxAcceptedIn1s  int        `json:"max_accepted_in_1s"`
	FirstAcceptedAt  *time.Time `json:"first_accepted_at"`
	LastAcceptedAt   *time.Time `json:"last_accepted_at"`
	AcceptedRate     float64    `json:"accepted_rate"`       // requests a second from first to last
	LimitShare       float64    `json:"limit_share"`         // accepted / (limit x time from first to last); 0 without a limit
	RefusedShare     float64    `json:"refused_share"`       // refused / requests
	AcceptedCapacity float64    `json:"accepted_capacity"`   // limit x time from first to last
	PerSecond        []Second   `json:"per_second,omitzero"` // only where asked for
}

// Second is what came in one second of wall time since the start.
type Second struct {
	Time     time.Time `json:"time"` // when it began
	Accepted int       `json:"accepted"`
	Refused  int       `json:"refused"`
}

// DoubleWrite is a write like the one before it, without a read in between.
type DoubleWrite struct {
	N       uint64    `json:"n"` // in the history
	Time    time.Time `json:"time"`
	UnitID  string    `json:"unit_id"`
	SkillID string    `json:"skill_id"`
	Writes  int       `json:"writes"` // to that (unit, skill) so far
}

const maxDoubleWrites = 100

type operationCode struct {
	operation Operation
	status    int16
}

// counts are the counters that are not about rates.
type counts struct {
	since                                             time.Duration
	byCode                                            map[operationCode]uint64
	faults                                            [32]uint64 // by bit
	writes, applied, doubles                          uint64
	maxWrites                                         uint32
	examples                                          []DoubleWrite
	codesMinted, codesUsed, codesReused, codesRefused uint64
	tokenRefreshes, tokenRefusals                     uint64
	homes                                             HomeStats
}

// count enters a request in history and counters.
func (s *Simulator) count(l *line) {
	s.history.add(*l)
	s.counts.byCode[operationCode{l.operation, l.status}]++
	if l.applied && l.unit != nil {
		s.counts.applied++
	}
	if l.faults == 0 {
		return
	}
	for i := range faultNames {
		if l.faults.has(1 << i) {
			s.counts.faults[i]++
		}
	}
}

// countWrite notes that the request could change its record.
func (s *Simulator) countWrite(c *call) {
	r := c.record
	r.writes++
	c.line.write = true
	s.counts.writes++
	s.counts.maxWrites = max(s.counts.maxWrites, r.writes)
	if r.unread == c.line.operation { // one of the other kind undoes, and repeats nothing
		c.line.duplicate = true
		s.counts.doubles++
		if len(s.counts.examples) < maxDoubleWrites {
			s.counts.examples = append(s.counts.examples, DoubleWrite{
				N: c.line.n, Time: s.wall(c.now).UTC(), UnitID: s.units.id(c.unit, false), SkillID: r.skill.id, Writes: int(r.writes),
			})
		}
	}
	r.unread, r.lastWrite = c.line.operation, c.line.n
}

// Stats returns the counters. They are exact: no request is in them by half.
func (s *Simulator) Stats() Stats { return s.StatsOf(0) }

// StatsOf returns the counters with the per-second series of the time up to
// now, at most an hour.
func (s *Simulator) StatsOf(series time.Duration) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, n := s.now(), &s.counts
	st := Stats{
		Since: s.wall(n.since).UTC(), Limit: s.limit, Rates: s.rates(&s.meter, now, series), HomeStats: n.homes,
		Accounts: map[string]Rates{}, APIs: map[API]map[string]Rates{}, ByOperation: map[Operation]map[string]uint64{}, Faults: map[Fault]uint64{},
		Writes: n.writes, Applied: n.applied, MaxWrites: int(n.maxWrites), DoubleWrites: n.doubles,
		DoubleWriteExamples: append([]DoubleWrite{}, n.examples...),
		CodesMinted:         n.codesMinted, CodesUsed: n.codesUsed, CodesReused: n.codesReused, CodesRefused: n.codesRefused,
		TokenRefreshes: n.tokenRefreshes, TokenRefusals: n.tokenRefusals,
	}
	for _, a := range s.accounts {
		for api, g := range a.gates {
			of := st.Accounts
			if api != APIResidential {
				if st.APIs[api] == nil {
					st.APIs[api] = map[string]Rates{}
				}
				of = st.APIs[api]
			}
			of[a.ClientID] = s.rates(&g.meter, now, series)
		}
	}
	for oc, count := range n.byCode {
		if st.ByOperation[oc.operation] == nil {
			st.ByOperation[oc.operation] = map[string]uint64{}
		}
		st.ByOperation[oc.operation][strconv.Itoa(int(oc.status))] = count
	}
	for i, name := range faultNames {
		if n.faults[i] > 0 {
			st.Faults[name] = n.faults[i]
		}
	}
	return st
}

func (s *Simulator) rates(m *meter, now, series time.Duration) Rates {
	r := Rates{
		Requests: m.requests, Accepted: m.accepted, Refused: m.refused,
		MaxRequestsIn1s: m.arrivals.most, MaxAcceptedIn1s: m.acceptances.most, AcceptedCapacity: m.capacity,
	}
	if m.requests > 0 {
		r.RefusedShare = float64(m.refused) / float64(m.requests)
	}
	if m.accepted > 0 {
		first, last := s.wall(m.first).UTC(), s.wall(m.last).UTC()
		r.FirstAcceptedAt, r.LastAcceptedAt = &first, &last
	}
	if took := (m.last - m.first).Seconds(); took > 0 {
		r.AcceptedRate = float64(m.accepted) / took
	}
	if m.capacity > 0 {
		r.LimitShare = float64(m.accepted) / m.capacity
	}
	if series <= 0 {
		return r
	}
	last := int64(now / time.Second)
	for at := max(0, last-min(int64(series/time.Second), seriesSeconds)+1); at <= last; at++ {
		sec := Second{Time: s.wall(time.Duration(at) * time.Second).UTC()}
		if m.series == nil {
			r.PerSecond = append(r.PerSecond, sec)
			continue
		}
		if kept := m.series[at%seriesSeconds]; kept.at == at+1 {
			sec.Accepted, sec.Refused = int(kept.accepted), int(kept.refused)
		}
		r.PerSecond = append(r.PerSecond, sec)
	}
	return r
}
