package simulator

import "time"

// seriesSeconds is how many seconds of the per-second series are kept.
const seriesSeconds = 3600

// meter counts the API requests of one account, or of all.
type meter struct {
	requests, accepted, refused uint64
	arrivals, acceptances       window

	// What the limit would have let through from the first to the last accepted request.
	rps         float64
	capacity    float64
	pending     float64 // since the last accepted one, up to mark
	mark        time.Duration
	first, last time.Duration

	series []second // a ring of seriesSeconds, once there is a request
}

type second struct {
	at                int64 // seconds since the start, plus one; 0 is never
	accepted, refused uint32
}

func (m *meter) accept(now time.Duration) {
	m.requests++
	m.accepted++
	m.arrivals.add(now)
	m.acceptances.add(now)
	if m.accepted == 1 {
		m.first = now
	} else {
		m.capacity += m.pending + m.rps*(now-m.mark).Seconds()
	}
	m.pending, m.mark, m.last = 0, now, now
	m.second(now).accepted++
}

func (m *meter) refuse(now time.Duration) {
	m.requests++
	m.refused++
	m.arrivals.add(now)
	m.second(now).refused++
}

func (m *meter) setLimit(now time.Duration, rps float64) {
	m.pending += m.rps * (now - m.mark).Seconds()
	m.rps, m.mark = rps, now
}

func (m *meter) second(now time.Duration) *second {
	if m.series == nil {
		m.series = make([]second, seriesSeconds)
	}
	n := int64(now / time.Second)
	sec := &m.series[n%seriesSeconds]
	if sec.at != n+1 {
		*sec = second{at: n + 1}
	}
	return sec
}

// window counts events of the last second and remembers the most there were.
type window struct {
	ring        []time.Duration
	head, count int
	most        int
}

func (w *window) add(now time.Duration) {
	for w.count > 0 && w.ring[w.head] <= now-time.Second {
		w.head = (w.head + 1) % len(w.ring)
		w.count--
	}
	if w.count == len(w.ring) {
		ring := make([]time.Duration, max(64, 2*w.count))
		for i := range w.count {
			ring[i] = w.ring[(w.head+i)%len(w.ring)]
		}
		w.ring, w.head = ring, 0
	}
	w.ring[(w.head+w.count)%len(w.ring)] = now
	w.count++
	w.most = max(w.most, w.count)
}
