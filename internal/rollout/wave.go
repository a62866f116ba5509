package rollout

import (
	"math"
	"strconv"
	"strings"

	"fleetd/internal/fleet"
)

// DefaultMaxFailures is the tolerance of a rollout that names none.
const DefaultMaxFailures = "2%"

// Size is a number of targets, or a share of all targets of a rollout. One of
// the two is set.
type Size struct {
	N       int
	Percent float64 // 0 < Percent <= 100
}

// ParseSize reads the size of a wave: "10" or "5%". Errors are about the flag wave.
func ParseSize(s string) (Size, error) {
	size, err := parseSize("wave", s)
	if err != nil {
		return Size{}, err
	}
	if size == (Size{}) {
		return Size{}, fleet.Invalidf("wave", "%q is an empty wave: write a number of units above 0, as in 50, or a share of them, as in 10%%", s)
	}
	return size, nil
}

// String is the size as ParseSize reads it.
func (z Size) String() string {
	if z.Percent != 0 {
		return strconv.FormatFloat(z.Percent, 'f', -1, 64) + "%"
	}
	return strconv.Itoa(z.N)
}

// Of is the size in targets, a share rounded up.
func (z Size) Of(targets int) int {
	if z.Percent == 0 {
		return z.N
	}
	// Whole numbers, because 0.07 * 10000 / 100 is a little more than 7 in floating
	// point and would round up to 8. A share counts to the millionth of a percent.
	const millionths = 1e6
	share := int64(math.Round(z.Percent * millionths))
	return int((share*int64(targets) + 100*millionths - 1) / (100 * millionths))
}

// MaxFailures reads how many failures of targets are tolerated: a number, or a
// share rounded up; empty is DefaultMaxFailures. Zero halts at the first
// failure. Errors are about the flag max-failures.
func MaxFailures(spec string, targets int) (int, error) {
	if spec == "" {
		spec = DefaultMaxFailures
	}
	size, err := parseSize("max-failures", spec)
	if err != nil {
		return 0, err
	}
	return size.Of(targets), nil
}

// Waves cuts targets into waves and returns the last seq of each, ascending: the
// canary first when there is one, then the sizes in order, then the rest. Waves
// beyond the last target are dropped; the last element is targets. Errors are
// about the flags canary, wave and select.
func Waves(targets, canary int, sizes []Size) ([]int, error) {
	if targets <= 0 {
		return nil, fleet.Invalidf("select", "no unit is selected: select at least one")
	}
	if canary < 0 {
		return nil, fleet.Invalidf("canary", "%d is not a number of units: write 0 for no canary, or a number above it", canary)
	}
	ends := make([]int, 0, len(sizes)+2)
	end := 0
	// add is careful of overflow: n may be any number a person can type.
	add := func(n int) {
		if n > 0 && end < targets {
			end += min(n, targets-end)
			ends = append(ends, end)
		}
	}
	add(canary)
	for _, size := range sizes {
		n := size.Of(targets)
		if n <= 0 || size.Percent < 0 || size.Percent > 100 {
			return nil, fleet.Invalidf("wave", "%s is not the size of a wave: write a number of units above 0, as in 50, or a share of them, as in 10%%", size)
		}
		add(n)
	}
	add(targets - end)
	return ends, nil
}

// parseSize reads digits, or a decimal number and a percent sign.
func parseSize(field, s string) (Size, error) {
	bad := func(why string) (Size, error) {
		return Size{}, fleet.Invalidf(field, "%q %s: write a number of units, as in 50, or a share of them, as in 10%%", s, why)
	}
	text, share := strings.CutSuffix(strings.TrimSpace(s), "%")
	if !share {
		if text == "" || strings.Trim(text, "0123456789") != "" {
			return bad("is not a number of units")
		}
		n, err := strconv.Atoi(text)
		if err != nil || n > math.MaxInt32 {
			return bad("is too large")
		}
		return Size{N: n}, nil
	}
	// ParseFloat alone would take "NaN", "1e3" and "0x1p-2".
	if text == "" || strings.Trim(text, ".0123456789") != "" {
		return bad("is not a share")
	}
	percent, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return bad("is not a share")
	}
	if percent > 100 {
		return bad("is more than all of them")
	}
	return Size{Percent: percent}, nil
}
