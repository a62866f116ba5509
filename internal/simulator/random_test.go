package simulator

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestUnmixUndoesMix(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		z := rapid.Uint64().Draw(rt, "z")
		require.Equal(rt, z, unmix(mix(z)))
	})
}

func TestUnitIDsCanBeReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := &directory{seed: rapid.Uint64().Draw(rt, "seed"), size: rapid.IntRange(1, maxUnits).Draw(rt, "size")}
		want := rapid.IntRange(0, d.size-1).Draw(rt, "index")
		id := unitID(d.seed, want, rapid.Bool().Draw(rt, "respelled"))
		got, ok := d.index(id)
		require.True(rt, ok)
		require.Equal(rt, want, got)

		at := rapid.IntRange(0, len(id)-1).Draw(rt, "at")
		wrong := []byte(id)
		wrong[at] ^= 1
		_, ok = d.index(string(wrong))
		require.False(rt, ok)
		_, ok = d.index(unitID(d.seed, d.size, false))
		require.False(rt, ok)
	})
}

func TestFaultNamesAreAll(t *testing.T) {
	t.Parallel()
	require.Equal(t, faultLostRegion, faultSet(1)<<(len(faultNames)-1))
	require.Equal(t, []Fault{"overload", "code_error"}, (faultOverload | faultCodeError).list())
}

func FuzzRequestBody(f *testing.F) {
	f.Add([]byte(`{"unitId":"u","stage":"live","accountLinkRequest":{"redirectUri":"r","authCode":"c","type":"AUTH_CODE"}}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"accountLinkRequest":null,"unitId":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var p params
		wrong := p.parseBody(bytes.NewReader(body))
		if !json.Valid(body) {
			require.NotEmpty(t, wrong)
		}
	})
}
