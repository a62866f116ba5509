package rollout_test

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/rollout"
)

func TestWaves(t *testing.T) {
	t.Parallel()
	n := func(n int) rollout.Size { return rollout.Size{N: n} }
	share := func(p float64) rollout.Size { return rollout.Size{Percent: p} }
	for name, tc := range map[string]struct {
		targets, canary int
		sizes           []rollout.Size
		want            []int
	}{
		"nothing asked is one wave":       {100, 0, nil, []int{100}},
		"a canary, then the rest":         {100, 5, nil, []int{5, 100}},
		"sizes in order, then the rest":   {1000, 5, []rollout.Size{n(50), share(10)}, []int{5, 55, 155, 1000}},
		"a share is of all and rounds up": {101, 0, []rollout.Size{share(10)}, []int{11, 101}},
		"a whole share does not round up": {10000, 0, []rollout.Size{share(0.07)}, []int{7, 10000}},
		"no rest, no last wave":           {100, 0, []rollout.Size{share(50), share(50)}, []int{50, 100}},
		"a canary of all":                 {3, 10, []rollout.Size{n(1)}, []int{3}},
		"sizes beyond the end":            {10, 1, []rollout.Size{n(5), n(9), n(9)}, []int{1, 6, 10}},
		"a size that would overflow":      {10, 1, []rollout.Size{n(1<<62 - 1), n(1<<62 - 1)}, []int{1, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := rollout.Waves(tc.targets, tc.canary, tc.sizes)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

func TestWavesRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		targets, canary int
		size            rollout.Size
		field           string
	}{
		"no targets":        {0, 0, rollout.Size{N: 1}, "select"},
		"negative canary":   {10, -1, rollout.Size{N: 1}, "canary"},
		"empty wave":        {10, 0, rollout.Size{}, "wave"},
		"negative wave":     {10, 0, rollout.Size{N: -1}, "wave"},
		"negative share":    {10, 0, rollout.Size{Percent: -1}, "wave"},
		"more than all":     {10, 0, rollout.Size{Percent: 101}, "wave"},
		"a share of naught": {10, 0, rollout.Size{Percent: 1e-7}, "wave"},
		"late, after ends":  {1, 1, rollout.Size{N: -1}, "wave"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := rollout.Waves(tc.targets, tc.canary, []rollout.Size{tc.size})
			requireField(t, tc.field, err)
		})
	}
}

// TestWavesProperty proves that waves are ascending, never empty, end at the last
// target, and are as long as asked save where the targets run out.
func TestWavesProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		targets := rapid.IntRange(1, 1_000_000).Draw(t, "targets")
		canary := rapid.IntRange(0, 2000).Draw(t, "canary")
		sizes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) rollout.Size {
			s, err := rollout.ParseSize(rapid.StringMatching(`[1-9][0-9]{0,5}|[1-9][0-9]?(\.[0-9]{1,2})?%`).Draw(t, "size"))
			require.NoError(t, err)
			return s
		}), 0, 6).Draw(t, "sizes")

		ends, err := rollout.Waves(targets, canary, sizes)

		require.NoError(t, err)
		require.Equal(t, targets, ends[len(ends)-1])
		asked := make([]int, 0, len(sizes)+1)
		if canary > 0 {
			asked = append(asked, canary)
		}
		for _, s := range sizes {
			asked = append(asked, s.Of(targets))
		}
		start := 0
		for i, end := range ends {
			require.Greater(t, end, start)
			if i < len(ends)-1 {
				require.Equal(t, asked[i], end-start)
			} else if i < len(asked) {
				require.LessOrEqual(t, end-start, asked[i], "a wave beyond the last asked is missing")
			}
			start = end
		}
	})
}

// TestSizeOfProperty proves a share against exact arithmetic.
func TestSizeOfProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		hundredths := rapid.Int64Range(1, 10000).Draw(t, "hundredths of a percent")
		targets := rapid.Int64Range(1, 5_000_000).Draw(t, "targets")
		size, err := rollout.ParseSize(fmt.Sprintf("%d.%02d%%", hundredths/100, hundredths%100))
		require.NoError(t, err)
		want, rest := new(big.Int).DivMod(big.NewInt(hundredths*targets), big.NewInt(10000), new(big.Int))
		if rest.Sign() > 0 {
			want.Add(want, big.NewInt(1))
		}
		require.Equal(t, int(want.Int64()), size.Of(int(targets)))
	})
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]rollout.Size{
		"10": {N: 10}, " 7 ": {N: 7}, "5%": {Percent: 5}, "100%": {Percent: 100}, "0.5%": {Percent: 0.5},
	} {
		got, err := rollout.ParseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		again, err := rollout.ParseSize(got.String())
		require.NoError(t, err, text)
		require.Equal(t, got, again, text)
	}
	for _, text := range []string{
		"", "0", "00", "0%", "0.0%", "-1", "-5%", "+5", "ten", "5 %%", "%", "101%", "1e3", "1e3%", "NaN%", "Inf%", "0x10", "0x1p4%", "1.5", "1.2.3%", "99999999999999999999",
	} {
		_, err := rollout.ParseSize(text)
		requireField(t, "wave", err, text)
	}
}

func TestMaxFailures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spec          string
		targets, want int
	}{
		"default is 2%, rounded up": {"", 5000, 100},
		"default of a few is one":   {"", 3, 1},
		"a number":                  {"10", 3, 10},
		"a share":                   {"5%", 101, 6},
		"none":                      {"0", 100, 0},
		"no share":                  {"0%", 100, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := rollout.MaxFailures(tc.spec, tc.targets)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
	for _, spec := range []string{"-1", "many", "101%", "1.5"} {
		_, err := rollout.MaxFailures(spec, 100)
		requireField(t, "max-failures", err, spec)
	}
}

// requireField checks that err tells a person which flag to mend.
func requireField(t *testing.T, field string, err error, about ...any) {
	t.Helper()
	var e *fleet.Error
	require.ErrorAs(t, err, &e, about...)
	require.Equal(t, fleet.CodeInvalid, e.Code, about...)
	require.Equal(t, field, e.Field, about...)
	require.Contains(t, e.Message, ": ", about...)
}
