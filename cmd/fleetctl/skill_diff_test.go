package main

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Each hunk says where it is: ten locales have a name each.
func TestADifferenceSaysWhereItIs(t *testing.T) {
	t.Parallel()
	const locales = `"en-US":{"a":1,"b":2,"c":3,"name":"Lamp","x":1,"y":2,"z":3},"de-DE":{"a":1,"b":2,"c":3,"name":"Lampe","x":1,"y":2,"z":3}`
	old := `{"apis":{"custom":{"interfaces":[{"t":"A","a":1,"b":2,"c":3},{"t":"B","a":1,"b":2,"c":3,"z {":"{"}]}},"version":"1","locales":{` + locales + `}}`
	for name, c := range map[string]struct {
		change, to string
		want       []string
	}{
		"a value":        {`"Lampe"`, `"Licht"`, []string{"locales.de-DE"}},
		"in a list":      {`"t":"B"`, `"t":"C"`, []string{"apis.custom.interfaces[1]"}},
		"at the top":     {`"version":"1"`, `"version":"2"`, []string{""}},
		"what is new":    {`"Lampe"`, `"Lampe","names":["x"]`, []string{"locales.de-DE"}},
		"what is gone":   {`,{"t":"B","a":1,"b":2,"c":3,"z {":"{"}`, ``, []string{"apis.custom.interfaces"}},
		"all of a level": {`"custom":{`, `"other":{`, []string{"apis"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := regexp.MustCompile(regexp.QuoteMeta(c.change)).ReplaceAllLiteralString(old, c.to)
			text, err := manifestDiff(json.RawMessage(old), json.RawMessage(changed), "old", "new")
			require.NoError(t, err)
			var got []string
			for _, m := range regexp.MustCompile(`(?m)^@@ -\d+,\d+ \+\d+,\d+ @@ ?(.*)$`).FindAllStringSubmatch(text, -1) {
				got = append(got, m[1])
			}
			require.Equal(t, c.want, got, text)
		})
	}
}

// Whatever the manifests are, a difference is found exactly where there is one.
func TestADifferenceOfAnything(t *testing.T) {
	t.Parallel()
	value := rapid.Deferred(func() *rapid.Generator[any] { return anyJSON(3) })
	rapid.Check(t, func(t *rapid.T) {
		a, err := json.Marshal(value.Draw(t, "old"))
		require.NoError(t, err)
		b, err := json.Marshal(value.Draw(t, "new"))
		require.NoError(t, err)
		text, err := manifestDiff(a, b, "old", "new")
		require.NoError(t, err)
		require.Equal(t, string(a) == string(b), text == "", text)
		canon, err := canonical(a)
		require.NoError(t, err)
		require.Len(t, paths(canon), len(regexp.MustCompile("\n").FindAll(canon, -1)))
	})
}

func anyJSON(depth int) *rapid.Generator[any] {
	leaf := rapid.OneOf(rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.IntRange(-9, 9).AsAny(), rapid.StringMatching(`[a-z{}\[\]" :\n]{0,5}`).AsAny())
	if depth == 0 {
		return leaf
	}
	inner := anyJSON(depth - 1)
	return rapid.OneOf(leaf, rapid.SliceOfN(inner, 0, 3).AsAny(), rapid.MapOfN(rapid.StringMatching(`[a-z{}\[" :]{0,4}`), inner, 0, 3).AsAny())
}
