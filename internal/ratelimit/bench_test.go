package ratelimit

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/remote"
)

// BenchmarkTake is what a slot costs when the budget is ample and the API answers at once:
// workers of one process, a row 1 ms away.
func BenchmarkTake(b *testing.B) {
	for name, parallel := range map[string]int{"few": 4, "many": 250} {
		b.Run(name, func(b *testing.B) {
			store := &fakeStore{trip: time.Millisecond, row: fixedRow(1e6, 50_000)}
			budget := newBudget(b, store, 1)
			ctx := b.Context()
			b.SetParallelism(parallel)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					slot, err := budget.Take(ctx, remote.ClassRollout)
					if err != nil {
						b.Error(err)
						return
					}
					budget.Done(ctx, slot, remote.Answer{Success: true})
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(store.count())/b.Elapsed().Seconds(), "updates/s")
		})
	}
}

// BenchmarkTakeAtRate is how much of a limit is used on a real clock; it takes two seconds
// a rate, whatever b.N.
func BenchmarkTakeAtRate(b *testing.B) {
	for name, rate := range map[string]float64{"100": 100, "200": 200, "1000": 1000, "5000": 5000} {
		b.Run(name, func(b *testing.B) {
			store := &fakeStore{trip: time.Millisecond, row: fixedRow(rate, max(1, int(rate*0.05)))}
			budget := newBudget(b, store, 1)
			ctx, cancel := context.WithTimeout(b.Context(), 2*time.Second)
			defer cancel()
			var n atomic.Int64
			done := make(chan struct{})
			workers := int(rate*0.05) + 10
			for range workers {
				go func() {
					defer func() { done <- struct{}{} }()
					for {
						slot, err := budget.Take(ctx, remote.ClassRollout)
						if err != nil {
							return
						}
						n.Add(1)
						if pass(ctx, latency) != nil {
							return
						}
						budget.Done(ctx, slot, remote.Answer{Success: true})
					}
				}()
			}
			for range workers {
				<-done
			}
			require.Positive(b, n.Load())
			b.ReportMetric(float64(n.Load())/(2*rate), "of_limit")
			b.ReportMetric(float64(store.count())/2, "updates/s")
		})
	}
}

// BenchmarkReserve is the arithmetic of one lease.
func BenchmarkReserve(b *testing.B) {
	row, now := fixedRow(200, 10), epoch
	for b.Loop() {
		now = now.Add(100 * time.Millisecond)
		Advance(&row, now, true, 0.5)
		Reserve(&row, now, Demand{Waiting: 20})
	}
}
