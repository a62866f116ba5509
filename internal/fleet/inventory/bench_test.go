package inventory_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet/inventory"
)

// madeUp is a file of n rows that is never in memory as a whole. Unit IDs are as
// long as real ones.
func madeUp(n int) io.Reader {
	unit := "amzn1.alexa.unit.did." + strings.Repeat("A", 93)
	row, buffer := 0, []byte(header)
	rest := buffer
	return readerFunc(func(p []byte) (int, error) {
		if len(rest) == 0 {
			if row == n {
				return 0, io.EOF
			}
			buffer = buffer[:0]
			for ; row < n && len(buffer) < 32<<10; row++ {
				buffer = append(buffer, unit...)
				buffer = strconv.AppendInt(buffer, int64(row), 10)
				buffer = strconv.AppendInt(append(buffer, ",property-"...), int64(row/100), 10)
				buffer = strconv.AppendInt(append(buffer, ",Home "...), int64(row), 10)
				buffer = strconv.AppendInt(append(buffer, ",vacant,floor="...), int64(row%9), 10)
				buffer = append(buffer, ";timezone=America/New_York\n"...)
			}
			rest = buffer
		}
		c := copy(p, rest)
		rest = rest[c:]
		return c, nil
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// BenchmarkReader reads 1,000,000 rows an iteration; rows/s and B/row are of one
// row, the making of the file included.
func BenchmarkReader(b *testing.B) {
	const n = 1_000_000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		r := inventory.NewReader(madeUp(n))
		for {
			if _, err := r.Read(); err != nil {
				require.ErrorIs(b, err, io.EOF)
				break
			}
		}
		require.Equal(b, n, r.Rows())
	}
	runtime.ReadMemStats(&after)
	rows := float64(n) * float64(b.N)
	b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/rows, "B/row")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/rows, "allocs/row")
}

// BenchmarkWriter writes 1,000,000 rows an iteration.
func BenchmarkWriter(b *testing.B) {
	const n = 1_000_000
	row := inventory.Row{UnitID: "amzn1.alexa.unit.did." + strings.Repeat("A", 100), Property: "Maple", Labels: map[string]string{"floor": "3", "wing": "east"}}
	for b.Loop() {
		w := inventory.NewWriter(io.Discard)
		for i := range n {
			row.Name = strconv.Itoa(i)
			require.NoError(b, w.Write(row))
		}
		require.NoError(b, w.Flush())
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// A file of any length is read in the memory of a few rows, be they good, bad or
// endless lines.
func TestReaderMemoryIsFlat(t *testing.T) { //nolint:paralleltest // other tests would be in the heap that it measures
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	endless := func(n int) io.Reader { // one line
		return readerFunc(func(p []byte) (int, error) {
			if n <= 0 {
				return 0, io.EOF
			}
			n -= len(p)
			return copy(p, strings.Repeat("x", len(p))), nil
		})
	}
	bad := func(n int) io.Reader {
		return readerFunc(func(p []byte) (int, error) {
			if n--; n < 0 {
				return 0, io.EOF
			}
			return copy(p, fmt.Sprintf("u%d,,,timezone=Nowhere/%d\n", n, n)), nil
		})
	}
	for name, src := range map[string]io.Reader{
		"good rows":       madeUp(100_000),
		"bad rows":        io.MultiReader(strings.NewReader("unit_id,property,name,labels\n"), bad(2_000)),
		"an endless line": io.MultiReader(strings.NewReader(header), endless(16<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			r := inventory.NewReader(src)
			for {
				if _, err := r.Read(); err != nil {
					var bad *inventory.RowsError
					require.True(t, errors.Is(err, io.EOF) || errors.As(err, &bad))
					break
				}
			}
			require.Less(t, int64(heap()-before), int64(2<<20))
			runtime.KeepAlive(r)
		})
	}
}
