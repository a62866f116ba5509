package ratelimit

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// process is one fleetd as the row sees it: the real clock, leases and held
// slots, without the goroutines.
type process struct {
	offset time.Duration // its clock minus the database's
	drift  float64
	clock  clock
	held   held
	newest *lease
}

func (p *process) local(t time.Time) time.Time {
	return t.Add(p.offset + time.Duration(p.drift*float64(t.Sub(epoch))))
}

func (p *process) reserve(row *Row, now time.Time, there, back time.Duration, d Demand) {
	p.held.expire(p.local(now.Add(-there)))
	if p.newest != nil && p.held.count() == 0 {
		Refund(row, p.newest.unused())
	}
	g := Reserve(row, now, d)
	p.clock.observe(p.local(now.Add(-there)), p.local(now.Add(back)), now)
	if g.N > 0 {
		p.newest = g.lease(&p.clock)
		p.held.add(p.newest)
	}
}

// excess is by how many the uses, in order, exceed rate*t in the worst window.
func excess(uses []time.Time, rate float64) float64 {
	worst, low := 0.0, 0.0
	for i, at := range uses {
		f := float64(i) - rate*at.Sub(epoch).Seconds()
		if i == 0 || f < low {
			low = f
		}
		worst = max(worst, f-low+1)
	}
	return worst
}

func TestReserveNeverAboveTheLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom([]float64{0.5, 3, 20, 100, 200, 999, 20000}).Draw(t, "rate")
		burst := rapid.SampledFrom([]int{1, 2, 5, 20, 200}).Draw(t, "burst")
		row := Row{RateLimit: rate, Burst: burst, Rate: rate, TAT: epoch}
		top, refusals := rate, 0
		row.settle()
		quick := int64(row.tolerance() / 8) // how far the way to the database may blur a slot

		processes := make([]*process, rapid.IntRange(1, 4).Draw(t, "processes"))
		fresh := func(i int) {
			processes[i] = &process{
				offset: time.Duration(rapid.Int64Range(-3e9, 3e9).Draw(t, "offset")),
				drift:  float64(rapid.IntRange(-30, 30).Draw(t, "drift")) * 1e-6,
			}
		}
		for i := range processes {
			fresh(i)
		}
		void := func() {
			for _, p := range processes {
				p.held.drop()
			}
		}
		now, blocked := epoch, time.Time{}
		var uses []time.Time
		for range rapid.IntRange(150, 300).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 60_000).Draw(t, "pass")) * time.Microsecond)
			i := rapid.IntRange(0, len(processes)-1).Draw(t, "process")
			p := processes[i]
			switch rapid.IntRange(0, 40).Draw(t, "what") {
			case 0:
				fresh(i) // crashed and started again: what it held is lost
			case 1:
				now = now.Add(time.Duration(rapid.Int64Range(0, 20).Draw(t, "idle")) * time.Second)
			case 2:
				until := now.Add(time.Duration(rapid.Int64Range(0, 2000).Draw(t, "retry after")) * time.Millisecond)
				if Throttle(&row, now, Refusal{SentAt: now, SeenAt: now, Until: until}, 0.5) {
					refusals++
				}
				blocked = row.BlockedUntil
				void()
			case 3:
				// As account set does it: what was saved up at the old rate is gone.
				row.RateLimit = rapid.SampledFrom([]float64{rate / 10, rate, rate}).Draw(t, "new rate")
				row.TAT = latest(row.TAT, now)
				void()
			case 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14:
				there := time.Duration(rapid.Int64Range(0, quick).Draw(t, "there"))
				back := time.Duration(rapid.Int64Range(0, quick).Draw(t, "back"))
				now = now.Add(there)
				p.reserve(&row, now, there, back, Demand{
					Waiting:  rapid.SampledFrom([]int{0, 1, 3, 20, 300}).Draw(t, "waiting"),
					Prefetch: rapid.IntRange(0, 30).Draw(t, "prefetch"),
				})
				now = now.Add(back)
			default:
				for range rapid.SampledFrom([]int{1, 4, 300}).Draw(t, "takes") {
					if _, ok := p.held.take(p.local(now)); !ok {
						break
					}
					require.False(t, now.Before(blocked), "a slot left at %s, blocked until %s", now, blocked)
					uses = append(uses, now)
				}
			}
		}
		require.LessOrEqual(t, excess(uses, top), float64(burst)+1.001, "%d uses", len(uses))
	})
}

func TestReserveLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.5, 5000).Draw(t, "rate")
		row := Row{RateLimit: rate, Burst: rapid.IntRange(1, 300).Draw(t, "burst"), TAT: epoch}
		now, granted := epoch, 0
		for now.Sub(epoch) < 10*time.Second {
			g := Reserve(&row, now, Demand{Waiting: 1000})
			granted += g.N
			require.LessOrEqual(t, float64(g.N), max(1, rate*leaseLength.Seconds())+float64(row.Burst))
			require.Less(t, g.First, horizon)
			if g.N == 0 {
				require.Positive(t, g.Retry)
			}
			now = now.Add(max(g.Retry, 5*time.Millisecond))
		}
		reached := now.Add(horizon).Sub(epoch).Seconds() * rate
		require.GreaterOrEqual(t, float64(granted), 0.99*(reached-rate*horizon.Seconds())-1)
	})
}

func TestReserve(t *testing.T) {
	t.Parallel()
	row := func() Row { return Row{RateLimit: 100, Burst: 5, TAT: epoch} }
	later := epoch.Add(time.Minute)

	t.Run("idle time is credit for a burst", func(t *testing.T) {
		t.Parallel()
		r := row()
		g := Reserve(&r, later, Demand{Waiting: 10})
		require.Equal(t, 10, g.N)
		require.Equal(t, 10*time.Millisecond, g.Interval)
		require.Negative(t, g.First)
		require.Greater(t, g.First, -40*time.Millisecond)
		require.Equal(t, g.End, r.TAT)
	})
	t.Run("no demand takes nothing", func(t *testing.T) {
		t.Parallel()
		r := row()
		require.Equal(t, Grant{}, Reserve(&r, later, Demand{}))
		require.Equal(t, epoch, r.TAT)
	})
	t.Run("prefetch takes only what is due", func(t *testing.T) {
		t.Parallel()
		r := row()
		require.LessOrEqual(t, Reserve(&r, later, Demand{Prefetch: 100}).N, 6)
		r.TAT = later.Add(50 * time.Millisecond)
		require.Zero(t, Reserve(&r, later, Demand{Prefetch: 100}).N)
	})
	t.Run("nothing starts in a block", func(t *testing.T) {
		t.Parallel()
		r := row()
		r.BlockedUntil = later.Add(time.Second)
		g := Reserve(&r, later, Demand{Waiting: 1})
		require.Zero(t, g.N)
		require.Equal(t, time.Second-horizon+time.Millisecond, g.Retry)
		g = Reserve(&r, later.Add(900*time.Millisecond), Demand{Waiting: 1})
		require.Equal(t, 1, g.N)
		require.Equal(t, 100*time.Millisecond, g.First)
	})
	t.Run("the last lease gives back what was not used", func(t *testing.T) {
		t.Parallel()
		r := row()
		g := Reserve(&r, later, Demand{Waiting: 4})
		from := g.Start.Add(g.Interval)
		unused := Unused{From: from, End: g.End, Interval: g.Interval}
		faster := r
		faster.RateLimit = 1000
		require.False(t, Refund(&faster, unused), "more slots than were taken")
		require.True(t, Refund(&r, unused))
		require.Equal(t, from, r.TAT)
		require.False(t, Refund(&r, unused), "once")
		g = Reserve(&r, later, Demand{Waiting: 4})
		Reserve(&r, later, Demand{Waiting: 1})
		require.False(t, Refund(&r, Unused{From: g.Start, End: g.End, Interval: g.Interval}), "another lease came after")
	})
	t.Run("rates that nobody can compute with", func(t *testing.T) {
		t.Parallel()
		for _, r := range []Row{
			{RateLimit: 1e-12, Burst: 1 << 31},
			{RateLimit: 1e12, Burst: 1 << 31},
			{Rate: -1, Burst: -1},
			{},
		} {
			g := Reserve(&r, later, Demand{Waiting: 1})
			require.Equal(t, 1, g.N)
			require.Positive(t, g.Interval)
			require.True(t, r.TAT.After(later.Add(-maxTolerance-time.Second)))
		}
	})
}

func TestThrottle(t *testing.T) {
	t.Parallel()
	fixed := func() Row { return Row{RateLimit: 100, Burst: 5, TAT: epoch} }
	at := func(d time.Duration) time.Time { return epoch.Add(d) }
	sent := func(d time.Duration) Refusal { return Refusal{SentAt: at(d), SeenAt: at(d)} }

	t.Run("pauses double until a success and keep half of themselves", func(t *testing.T) {
		t.Parallel()
		r, now := fixed(), epoch
		want := firstPause
		for range 12 {
			require.True(t, Throttle(&r, now, Refusal{SentAt: now, SeenAt: now}, 0))
			require.Equal(t, want/2, r.BlockedUntil.Sub(now))
			now, want = r.BlockedUntil, min(2*want, maxPause)
		}
		Succeeded(&r, now.Add(-time.Millisecond))
		require.Equal(t, 12, r.Refusals, "a success from before the block proves nothing")
		Succeeded(&r, now)
		require.Zero(t, r.Refusals)
		require.InEpsilon(t, 100, r.RateLimit, 0)
	})
	t.Run("jitter adds up to the other half", func(t *testing.T) {
		t.Parallel()
		r := fixed()
		Throttle(&r, epoch, Refusal{SentAt: epoch, SeenAt: epoch}, 0.999)
		require.InDelta(t, float64(firstPause), float64(r.BlockedUntil.Sub(epoch)), float64(time.Millisecond))
	})
	t.Run("Retry-After is obeyed", func(t *testing.T) {
		t.Parallel()
		r, ask := fixed(), sent(0)
		ask.Until = at(7 * time.Second)
		require.True(t, Throttle(&r, at(0), ask, 0.5))
		require.Equal(t, at(7*time.Second), r.BlockedUntil)
		require.Equal(t, at(0), r.BlockedAt)
	})
	t.Run("an absurd Retry-After is not", func(t *testing.T) {
		t.Parallel()
		r, ask := fixed(), sent(0)
		ask.Until = at(1000 * time.Hour)
		Throttle(&r, at(0), ask, 0.5)
		require.Equal(t, at(maxRetry), r.BlockedUntil)
	})
	t.Run("several refusals of a burst are one signal", func(t *testing.T) {
		t.Parallel()
		r := Row{Rate: 100, Learnt: Learnt{Ceiling: 100}}
		require.True(t, Throttle(&r, at(time.Second), sent(time.Second), 0.5))
		rate, end := r.Rate, r.BlockedUntil
		require.False(t, Throttle(&r, at(1010*time.Millisecond), sent(990*time.Millisecond), 0.5))
		require.False(t, Throttle(&r, end.Add(time.Second), sent(time.Second), 0.5), "however late it comes")
		require.InEpsilon(t, rate, r.Rate, 1e-9)
		require.Equal(t, end, r.BlockedUntil)
		require.Equal(t, 1, r.Refusals)
	})
	t.Run("but the longest Retry-After of them counts", func(t *testing.T) {
		t.Parallel()
		r := fixed()
		Throttle(&r, at(0), sent(0), 0.5)
		again := sent(0)
		again.Until = at(3 * time.Second)
		require.False(t, Throttle(&r, at(0), again, 0.5))
		require.Equal(t, at(3*time.Second), r.BlockedUntil)
	})
	t.Run("a process that did not know of the block is not a second signal", func(t *testing.T) {
		t.Parallel()
		r := fixed()
		Throttle(&r, at(time.Second), sent(time.Second), 0)
		late := sent(1200 * time.Millisecond)
		late.SeenAt = at(900 * time.Millisecond)
		require.False(t, Throttle(&r, at(1300*time.Millisecond), late, 0))
		late.SeenAt = at(1100 * time.Millisecond)
		require.True(t, Throttle(&r, at(1300*time.Millisecond), late, 0))
	})
}

func TestLearntIsStable(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(Learnt{})
	require.NoError(t, err)
	require.JSONEq(t, `{}`, string(text))
	text, err = json.Marshal(Learnt{Ceiling: 200, Confirmations: 2, HoldUntil: epoch, ProbeSeconds: 1.5, AdvancedAt: epoch})
	require.NoError(t, err)
	require.JSONEq(t, `{"ceiling":200,"confirmations":2,"hold_until":"2026-11-21T12:00:00Z",
		"probe_seconds":1.5,"advanced_at":"2026-11-21T12:00:00Z"}`, string(text))
}

// A request that took its slot and then its time, to the last moment it may, keeps to the
// bound with all that left at once.
func TestALateRequestIsNotOneTooMany(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom([]float64{0.5, 3, 20, 100, 200, 999}).Draw(t, "rate")
		row := Row{RateLimit: rate, Burst: rapid.SampledFrom([]int{1, 2, 5, 20}).Draw(t, "burst"), TAT: epoch}
		p := &process{offset: time.Second}
		now := epoch
		var uses []time.Time
		for range rapid.IntRange(20, 80).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Float64Range(0, 3).Draw(t, "intervals") / rate * float64(time.Second)))
			p.reserve(&row, now, 0, 0, Demand{Waiting: rapid.IntRange(1, 30).Draw(t, "waiting")})
			prompt := rapid.Bool().Draw(t, "prompt")
			for {
				slot, ok := p.held.take(p.local(now))
				if !ok {
					break
				}
				require.False(t, slot.sendBy.Before(p.local(now)), "it may leave at once")
				if prompt {
					uses = append(uses, now)
				} else {
					uses = append(uses, slot.sendBy.Add(-p.offset))
				}
			}
		}
		slices.SortFunc(uses, time.Time.Compare)
		require.LessOrEqual(t, excess(uses, rate), float64(row.Burst)+1.001, "%d uses", len(uses))
	})
}
