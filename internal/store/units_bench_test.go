package store_test

import (
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/store"
)

// inventoryFile is a CSV of n homes that is made while it is read. Its unit IDs
// are as long as real ones and in no order.
func inventoryFile(n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		_, err := io.WriteString(w, "unit_id,property,name,occupancy,labels\n")
		for i := 0; i < n && err == nil; i++ {
			_, err = fmt.Fprintf(w, "amzn1.alexa.unit.did.%0100d,property-%04d,Home %d,vacant,floor=%d;wing=east\n", uint64(i)*0x9e3779b97f4a7c15, i/500, i, i%9)
		}
		w.CloseWithError(err)
	}()
	return r
}

// BenchmarkImportUnits imports a million new units, then the same file again. It
// reports the seconds of both and the most memory that Go held meanwhile.
func BenchmarkImportUnits(b *testing.B) {
	const n = 1_000_000
	pool := pgtest.Pool(b)
	keys, err := store.NewKeys(make([]byte, 32))
	require.NoError(b, err)
	s := store.New(pool, keys)
	by := fleet.Actor{Name: "bench", Role: fleet.RoleAdmin}
	for i := 0; b.Loop(); i++ {
		account := fmt.Sprintf("acme-%d", i)
		_, _, err := s.CreateAccount(b.Context(), plainAccount(account), by, store.Idempotency{})
		require.NoError(b, err)
		for _, round := range []string{"first", "again"} {
			before := b.Elapsed()
			var most atomic.Uint64
			_, _, err = s.ImportUnits(b.Context(), account, &watched{Reader: inventoryFile(n), most: &most}, store.ImportParams{}, by, store.Idempotency{})
			require.NoError(b, err)
			b.ReportMetric((b.Elapsed() - before).Seconds(), round+"-s")
			b.ReportMetric(float64(most.Load())/(1<<20), round+"-MiB")
		}
	}
}

// watched notes the size of the heap while a file is read.
type watched struct {
	io.Reader

	most  *atomic.Uint64
	reads int
}

func (w *watched) Read(p []byte) (int, error) {
	if w.reads++; w.reads%5000 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		w.most.Store(max(w.most.Load(), m.Sys))
	}
	return w.Reader.Read(p)
}
