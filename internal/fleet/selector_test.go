package fleet_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
)

func TestParseSelector(t *testing.T) {
	t.Parallel()
	eq := func(key, value string) fleet.Term {
		return fleet.Term{Key: key, Op: fleet.OpEq, Values: []string{value}}
	}
	for text, tc := range map[string]struct {
		terms     []fleet.Term
		canonical string
	}{
		"all":                              {nil, "all"},
		"  all\n":                          {nil, "all"},
		"property=maple-court":             {[]fleet.Term{eq("property", "maple-court")}, "property=maple-court"},
		"property = Maple Court ":          {[]fleet.Term{eq("property", "Maple Court")}, `property="Maple Court"`},
		`name="a, \"b\" \\ c"`:             {[]fleet.Term{eq("name", `a, "b" \ c`)}, `name="a, \"b\" \\ c"`},
		`name=""`:                          {[]fleet.Term{eq("name", "")}, `name=""`},
		"unit=amzn1.alexa.unit.did.AB2":    {[]fleet.Term{eq("unit", "amzn1.alexa.unit.did.AB2")}, "unit=amzn1.alexa.unit.did.AB2"},
		"floor!=3":                         {[]fleet.Term{{Key: "floor", Op: fleet.OpNotEq, Values: []string{"3"}}}, "floor!=3"},
		"floor in (1)":                     {[]fleet.Term{{Key: "floor", Op: fleet.OpIn, Values: []string{"1"}}}, "floor in (1)"},
		`floor in( 1,"2,5" , north wing )`: {[]fleet.Term{{Key: "floor", Op: fleet.OpIn, Values: []string{"1", "2,5", "north wing"}}}, `floor in (1,"2,5","north wing")`},
		"has(team/wing)":                   {[]fleet.Term{{Key: "team/wing", Op: fleet.OpHas}}, "has(team/wing)"},
		"has ( floor ) , occupancy=vacant": {[]fleet.Term{{Key: "floor", Op: fleet.OpHas}, eq("occupancy", "vacant")}, "has(floor),occupancy=vacant"},
		"occupancy in (vacant,linked)":     {[]fleet.Term{{Key: "occupancy", Op: fleet.OpIn, Values: []string{"vacant", "linked"}}}, "occupancy in (vacant,linked)"},
		"all=1,has=2,in in (3)":            {[]fleet.Term{eq("all", "1"), eq("has", "2"), {Key: "in", Op: fleet.OpIn, Values: []string{"3"}}}, "all=1,has=2,in in (3)"},
		"étage=deux":                       {[]fleet.Term{eq("étage", "deux")}, "étage=deux"},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, err := fleet.ParseSelector(text)
			require.NoError(t, err)
			require.Equal(t, tc.terms, got.Terms)
			require.Equal(t, tc.canonical, got.String())
			require.Equal(t, tc.terms == nil, got.All())
		})
	}
}

func TestParseSelectorRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                    "the selector is empty: write all",
		" \t":                                 "the selector is empty: write all",
		"property":                            "at position 9: the selector ends after the key property: write property=value",
		"property=":                           `at position 10: the selector ends where a value of property should be: write one, or ""`,
		"property==a":                         "at position 10: there is '=' where a value",
		"property=a,":                         "at position 12: the selector ends where a key should be",
		",property=a":                         "at position 1: there is ',' where a key should be",
		"property=a;name=b":                   "at position 16: there is '=' after a condition: separate conditions by commas",
		"property=a or floor=1":               "at position 20: there is '=' after a condition",
		"property notin (a)":                  "at position 10: there is 'n' after the key property: write",
		"property in a":                       "at position 13: there is 'a' after in: write property in (a,b)",
		"property in ()":                      "at position 14: there is ')' where a value",
		"property in (a":                      "at position 15: the selector ends in a list",
		"property in (a b=c)":                 "at position 17: there is '=' in a list",
		"has(":                                "at position 5: has( needs one key",
		"has()":                               "at position 5: has( needs one key",
		"has(a,b)":                            "at position 6: there is ',' where the parenthesis",
		`name="a`:                             "at position 6: the quote that opens here is never closed",
		`name="a\n"`:                          "at position 8: a backslash in quotes",
		`name="a\`:                            "at position 8: a backslash in quotes",
		`name=a"b"`:                           `at position 7: there is '"' after a condition`,
		"name=\"a\x00\"":                      "at position 6: the value of name holds a control character",
		"occupancy=empty":                     `at position 11: "empty" is no occupancy: use vacant, occupied or linked`,
		"occupancy in (vacant,x)":             `at position 22: "x" is no occupancy`,
		"all,property=a":                      "at position 1: all picks every unit and stands alone",
		"property=a, all":                     "at position 13: all picks every unit and stands alone",
		"-floor=1":                            `at position 1: "-floor" is no key`,
		"étage":                               "at position 6: the selector ends after the key étage",
		strings.Repeat("x", 64) + "=1":        "at position 1: ",
		"name=\xff":                           "the selector is not UTF-8",
		"name=" + strings.Repeat("x", 64<<10): "name the units in a file with --units-file",
	} {
		t.Run(text[:min(len(text), 40)], func(t *testing.T) {
			t.Parallel()
			_, err := fleet.ParseSelector(text)
			var e *fleet.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, fleet.CodeInvalid, e.Code)
			require.Equal(t, "select", e.Field)
			require.Contains(t, e.Message, want)
		})
	}
}

func TestSelectorMatches(t *testing.T) {
	t.Parallel()
	unit := fleet.UnitFacts{
		UnitID: "u-1", Property: "Maple Court", Occupancy: fleet.OccupancyVacant,
		Labels: map[string]string{"floor": "3", "note": ""},
	}
	for text, want := range map[string]bool{
		"all": true, "unit=u-1": true, "unit=u-2": false, "unit in (u-2,u-1)": true,
		"property=Maple Court": true, "property=maple court": false, "property!=Maple Court": false,
		"occupancy=vacant": true, "occupancy!=vacant": false, "has(occupancy)": true,
		"floor=3": true, "floor!=3": false, "floor in (1,2)": false, "has(floor)": true,
		"wing=east": false, "wing!=east": true, "wing in (east)": false, "has(wing)": false,
		`note=""`: true, "has(note)": true, `wing=""`: false,
		"has(name)": false, `name!=x`: true,
		"floor=3,unit=u-1": true, "floor=3,unit=u-2": false, "floor=3,floor=4": false,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			s, err := fleet.ParseSelector(text)
			require.NoError(t, err)
			require.Equal(t, want, s.Matches(unit))
		})
	}
	named, err := fleet.ParseSelector("has(name),name=12B")
	require.NoError(t, err)
	require.True(t, named.Matches(fleet.UnitFacts{Name: "12B"}))
	require.False(t, fleet.Term{Key: "floor", Op: "~"}.Matches(unit), "an operator nobody knows picks nothing")
}

func TestCheckLabelKey(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"floor", "team.wing/x-1_2", "2nd", "étage", "all", "has", "in", strings.Repeat("é", 63)} {
		require.NoError(t, fleet.CheckLabelKey(key), key)
	}
	for _, key := range []string{"", "unit", "property", "name", "occupancy", "a b", "-a", "_a", "a=b", "a;b", "a,b", "a(b", `a"b`, "a\x00", "\xff", strings.Repeat("x", 64)} {
		require.Error(t, fleet.CheckLabelKey(key), key)
	}
}

// anySelector draws selectors by their parts, values of any characters included.
func anySelector() *rapid.Generator[fleet.Selector] {
	value := rapid.StringOfN(rapid.RuneFrom([]rune(`ab1 ,()="\!é日-`)), 0, 8, -1)
	term := rapid.Custom(func(t *rapid.T) fleet.Term {
		term := fleet.Term{
			Key: rapid.OneOf(rapid.SampledFrom(append(fleet.SelectorKeys(), "all", "has", "in")), rapid.StringMatching(`[a-zé0-9][a-z._/-]{0,6}`)).Draw(t, "key"),
			Op:  rapid.SampledFrom(fleet.Ops()).Draw(t, "op"),
		}
		most := map[fleet.Op]int{fleet.OpEq: 1, fleet.OpNotEq: 1, fleet.OpIn: 4}[term.Op]
		if most == 0 {
			return term
		}
		if term.Key == fleet.KeyOccupancy {
			term.Values = rapid.SliceOfN(rapid.SampledFrom(texts(fleet.Occupancies())), 1, most).Draw(t, "values")
		} else {
			term.Values = rapid.SliceOfN(value, 1, most).Draw(t, "values")
		}
		return term
	})
	return rapid.Custom(func(t *rapid.T) fleet.Selector {
		return fleet.Selector{Terms: rapid.SliceOfN(term, 1, 5).Draw(t, "terms")}
	})
}

// TestSelectorRoundTripProperty proves that every selector's String is read back
// as the same terms, whatever its values hold.
func TestSelectorRoundTripProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := anySelector().Draw(t, "selector")
		got, err := fleet.ParseSelector(want.String())
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// TestSelectorMatchesProperty proves how the operators hang together: != is the
// opposite of =, in is any of =, has is present, and terms narrow.
func TestSelectorMatchesProperty(t *testing.T) {
	t.Parallel()
	few := rapid.SampledFrom([]string{"a", "b", ""})
	key := rapid.SampledFrom([]string{"property", "name", "unit", "floor", "wing"})
	rapid.Check(t, func(t *rapid.T) {
		unit := fleet.UnitFacts{
			UnitID: few.Draw(t, "unit"), Property: few.Draw(t, "property"), Name: few.Draw(t, "name"),
			Labels: rapid.MapOf(rapid.SampledFrom([]string{"floor", "wing"}), few).Draw(t, "labels"),
		}
		k, v, w := key.Draw(t, "key"), few.Draw(t, "v"), few.Draw(t, "w")
		is := func(op fleet.Op, values ...string) bool {
			return fleet.Term{Key: k, Op: op, Values: values}.Matches(unit)
		}

		require.Equal(t, !is(fleet.OpEq, v), is(fleet.OpNotEq, v))
		require.Equal(t, is(fleet.OpEq, v) || is(fleet.OpEq, w), is(fleet.OpIn, v, w))
		if is(fleet.OpEq, v) {
			require.True(t, is(fleet.OpHas))
		}
		terms := fleet.Selector{Terms: []fleet.Term{{Key: k, Op: fleet.OpEq, Values: []string{v}}, {Key: "floor", Op: fleet.OpHas}}}
		require.Equal(t, terms.Terms[0].Matches(unit) && terms.Terms[1].Matches(unit), terms.Matches(unit))
	})
}

// What is read can be kept and read again, also at the limit.
func TestSelectorAtTheLimitIsReadBack(t *testing.T) {
	t.Parallel()
	const prefix = "name="
	plain := prefix + strings.Repeat("x", fleet.MaxSelectorBytes-len(prefix))
	s, err := fleet.ParseSelector(plain)
	require.NoError(t, err)
	_, err = fleet.ParseSelector(s.String())
	require.NoError(t, err)

	_, err = fleet.ParseSelector(strings.Replace(plain, "xx", "x x", 1)[:fleet.MaxSelectorBytes])
	require.ErrorContains(t, err, "--units-file", "with quotes it is too long")
}

// FuzzParseSelector looks for text that breaks the parser, that is read as
// something its canonical spelling is not, or whose error points outside it.
func FuzzParseSelector(f *testing.F) {
	for _, seed := range []string{
		"all", "property=maple-court", `name="a, \"b\""`, "floor in (1,2),has(wing)", "occupancy!=linked", "a=b c , d in ( e )", "has (x)", "=", `a="\`, "é=日",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := fleet.ParseSelector(text)
		if err != nil {
			var e *fleet.Error
			require.ErrorAs(t, err, &e)
			require.NotEmpty(t, e.Message)
			return
		}
		again, err := fleet.ParseSelector(s.String())
		require.NoError(t, err)
		require.Equal(t, s, again)
		require.Equal(t, s.String(), again.String())
		require.True(t, s.All() || len(s.Terms) > 0)
		for _, term := range s.Terms {
			require.Equal(t, term.Op == fleet.OpHas, len(term.Values) == 0)
		}
	})
}
