package simulator

const golden = 0x9e3779b97f4a7c15

// mix is the finalizer of splitmix64: a bijection that looks random.
func mix(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// unmix undoes mix.
func unmix(z uint64) uint64 {
	z = (z ^ (z >> 31) ^ (z >> 62)) * 0x319642b2d24d8ec3
	z = (z ^ (z >> 27) ^ (z >> 54)) * 0x96de1b173f119089
	return z ^ (z >> 30) ^ (z >> 60)
}

// hash folds parts into one number that looks random.
func hash(parts ...uint64) uint64 {
	h := uint64(golden)
	for _, p := range parts {
		h = mix(h + golden + p)
	}
	return h
}

// hashText is FNV-1a, mixed.
func hashText(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// fraction makes a number in [0, 1) of a hash.
func fraction(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// dice is a small seeded source. Who rolls the same dice gets the same numbers.
type dice struct{ state uint64 }

func (d *dice) next() uint64 {
	d.state += golden
	return mix(d.state)
}

func (d *dice) fraction() float64 { return fraction(d.next()) }

func (d *dice) hit(rate float64) bool { return d.fraction() < rate }

// rare is hit without a roll where there is nothing to hit: a fault that is off
// leaves the rolls of the others as they were.
func (d *dice) rare(rate float64) bool { return rate > 0 && d.hit(rate) }

func (d *dice) below(n int) int { return int(d.next() % uint64(n)) } //nolint:gosec // n is positive and small

// base32 digits, as in real unit IDs.
const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// appendText appends n base32 digits that are a function of seed.
func appendText(b []byte, seed uint64, n int) []byte {
	d := dice{state: seed}
	for n > 0 {
		bits := d.next()
		for range min(n, 12) {
			b = append(b, digits[bits&31])
			bits >>= 5
		}
		n -= 12
	}
	return b
}
