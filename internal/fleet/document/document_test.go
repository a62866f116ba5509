package document_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/fleet/document"
)

const protectedSkill = "amzn1.ask.skill.b4ca54a9-5e5f-4c60-93a0-d4cbd48640f2"

func TestParse(t *testing.T) {
	t.Parallel()
	d, err := document.Read(strings.NewReader(`# What should be where.
version: 1
account: acme
desired:
  - select: property=maple-court,occupancy=vacant
    skills:
      amzn1.ask.skill.aaa: live     # the good one
      amzn1.ask.skill.bbb: disabled
  - skills: {amzn1.ask.skill.ccc: certification}
    select: "all"
`))
	require.NoError(t, err)
	maple, err := fleet.ParseSelector("property=maple-court,occupancy=vacant")
	require.NoError(t, err)
	require.Equal(t, &document.Document{
		Version: 1, Account: "acme", AccountPlace: document.Place{Line: 3, Column: 10}, Entries: []document.Entry{{
			Place: document.Place{Line: 5, Column: 13}, Select: "property=maple-court,occupancy=vacant", Selector: maple,
			Skills: []document.Skill{
				{Place: document.Place{Line: 7, Column: 7}, SkillID: "amzn1.ask.skill.aaa", State: "live"},
				{Place: document.Place{Line: 8, Column: 7}, SkillID: "amzn1.ask.skill.bbb", State: fleet.StateDisabled},
			},
		}, {
			Place: document.Place{Line: 10, Column: 13}, Select: "all",
			Skills: []document.Skill{{Place: document.Place{Line: 9, Column: 14}, SkillID: "amzn1.ask.skill.ccc", State: "certification"}},
		}},
	}, d)
	require.True(t, d.Entries[1].Selector.All())
}

func TestParseTakesWhatIsShort(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"version: 1\ndesired: []\n", "---\nversion: 1\ndesired: []\n...\n", `{"version": 1, "desired": []}`,
		"\ufeffversion: 1\r\ndesired: []\r\n", "version: 1\ndesired:\n- select: all\n  skills: {a: live}",
	} {
		_, err := document.Parse([]byte(text))
		require.NoError(t, err, text)
	}
}

// Every mistake is named with its place: "where: what".
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const head = "version: 1\ndesired:\n"
	entry := func(text string) string { return head + "  - select: all\n    skills:\n" + text }
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"nothing":                    {"", []string{"line 1: the document is empty"}},
		"only a comment":             {"# none\n", []string{"line 1: the document is empty"}},
		"null":                       {"---\n", []string{"line 1: the document is empty"}},
		"two documents":              {"version: 1\ndesired: []\n---\nversion: 1\n", []string{"line 3: a second YAML document"}},
		"a document and rubbish":     {"version: 1\ndesired: []\n---\na: b: c\n", []string{"line 4: this is no YAML: mapping values"}},
		"a list":                     {"- a\n- b\n", []string{"line 1, column 1: the document must be a mapping with the keys version, account, desired"}},
		"a word":                     {"hello", []string{"line 1, column 1: the document must be a mapping"}},
		"bad indentation":            {entry("      a: live\n     b: live\n"), []string{"line 6: this is no YAML: did not find expected key: look at how far"}},
		"a key too far left":         {head + "  - select: all\n   skills:\n      a: live\n", []string{"line 4: this is no YAML: did not find expected '-' indicator"}},
		"a tab":                      {"version: 1\n\tdesired: []\n", []string{"line 2: this is no YAML: found a tab character that violates indentation: indent by spaces"}},
		"a colon too many":           {"version: 1\ndesired: []\naccount: a: b\n", []string{"line 3: this is no YAML: mapping values are not allowed"}},
		"a list never closed":        {"version: 1\n\ndesired: [\n\n\n", []string{"line 5: this is no YAML: did not find expected node content: close every [ and {"}},
		"a quote never closed":       {"version: 1\naccount: \"acme\n\n\ndesired: []\n", []string{"line 2: this is no YAML: found unexpected end of stream"}},
		"a word alone":               {"version: 1\nfoo\ndesired: []\n", []string{"line 2: this is no YAML: could not find expected ':': write key: value"}},
		"a control character":        {"version: 1\ndesired: []\naccount: \x01\n", []string{"line 3: this is no YAML: control characters"}},
		"no UTF-8":                   {"version: 1\ndesired: []\naccount: \xff\xff\n", []string{"line 3: this is no YAML: "}},
		"no version":                 {"desired: []\n", []string{"line 1, column 1: the version is missing: write version: 1"}},
		"another version":            {"version: 2\ndesired: [{select: x}]\n", []string{"line 1, column 10: this version is not known", "line 2, column 11: the entry says not which skills"}},
		"a version that is text":     {"version: \"1\"\ndesired: []\n", []string{"line 1, column 10: this version is not known"}},
		"a version of null":          {"version:\ndesired: []\n", []string{"line 1, column 9: version must be a number"}},
		"no desired":                 {"version: 1\n", []string{"line 1, column 1: the key desired is missing: write desired: []"}},
		"desired of null":            {"version: 1\ndesired:\n", []string{"line 2, column 9: desired must be a list"}},
		"an account that is a list":  {"version: 1\naccount: [a]\ndesired: []\n", []string{"line 2, column 10: account must be the name"}},
		"unknown keys":               {"version: 1\ndesire: []\ndesired: [{select: all, skill: {}, skills: {a: live}}]\n", []string{"line 2, column 1: there is no such key in the document: it has the keys version, account, desired", "line 3, column 25: there is no such key in an entry: it has the keys select, skills"}},
		"a doubled key":              {"version: 1\ndesired: []\nversion: 1\n", []string{"line 3, column 1: the key stands in the document already, at line 1, column 1"}},
		"a doubled skill":            {entry("      a: live\n      b: live\n      a: disabled\n"), []string{"line 7, column 7: the key stands in skills already, at line 5, column 7"}},
		"an entry that is a word":    {head + "  - all\n", []string{"line 3, column 5: an entry must be a mapping with the keys select, skills"}},
		"an entry without units":     {head + "  - skills: {a: live}\n", []string{"line 3, column 5: the entry says not which units"}},
		"an entry without skills":    {head + "  - select: all\n", []string{"line 3, column 5: the entry says not which skills"}},
		"an entry of no skill":       {head + "  - select: all\n    skills: {}\n", []string{"line 4, column 13: the entry names no skill"}},
		"skills that are a list":     {head + "  - select: all\n    skills: [a]\n", []string{"line 4, column 13: skills must be a mapping: write key: value"}},
		"an unknown stage":           {entry("      a: prod\n"), []string{"line 5, column 10: this is no state of a skill: write development, certification or live"}},
		"a stage of null":            {entry("      a:\n"), []string{"line 5, column 9: what should a be?"}},
		"a stage that is a mapping":  {entry("      a: {stage: live}\n"), []string{"line 5, column 10: what should a be?"}},
		"a stage of false":           {entry("      a: false\n"), []string{"line 5, column 10: this is no state"}},
		"a bad skill ID":             {entry("      a b: live\n      é: live\n"), []string{"line 5, column 7: this is no skill ID", "line 6, column 7: this is no skill ID"}},
		"a long skill ID":            {entry("      " + strings.Repeat("x", 256) + ": live\n"), []string{"line 5, column 7: this is no skill ID"}},
		"a skill that is a list":     {entry("      ? [a]\n      : live\n"), []string{"line 5, column 9: a key of skills must be a word"}},
		"a protected skill":          {entry("      " + protectedSkill + ": disabled\n"), []string{"line 5, column 7: this is a protected skill"}},
		"a bad selector":             {head + "  - select: property=a,floor\n    skills: {a: live}\n", []string{"line 3, column 13: the selector is wrong: at position 17: the selector ends after the key floor"}},
		"an empty selector":          {head + "  - select: \"\"\n    skills: {a: live}\n", []string{"line 3, column 13: the selector is wrong: the selector is empty"}},
		"a selector of null":         {head + "  - select:\n    skills: {a: live}\n", []string{"line 3, column 12: select must be a selector"}},
		"an anchor":                  {head + "  - select: &x all\n    skills: {a: live}\n", []string{"line 3, column 13: anchors and aliases"}},
		"an alias":                   {head + "  - &x {select: all, skills: {a: live}}\n  - *x\n", []string{"line 3, column 5: anchors and aliases", "line 4, column 5: anchors and aliases"}},
		"an alias of nothing":        {head + "  - *x\n", []string{"line 3: this is no YAML: anchors and aliases"}},
		"a merge":                    {entry("      <<: {a: live}\n"), []string{"line 5, column 11: what should << be?"}},
		"a tag":                      {entry("      a: !!str live\n"), []string{"line 5, column 10: the tag !!str is not read here"}},
		"a tag of one's own":         {"version: 1\ndesired: !mine []\n", []string{"line 2, column 10: the tag !mine is not read here"}},
		"several mistakes, in order": {head + "  - select: x\n    skills: {a: prod}\n  - skills: 5\n", []string{"line 3, column 13: the selector is wrong", "line 4, column 17: this is no state", "line 5, column 5: the entry says not which units", "line 5, column 13: skills must be"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := document.Parse([]byte(tc.text))
			var e *fleet.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, fleet.CodeInvalid, e.Code)
			require.Equal(t, "file", e.Field)
			require.Contains(t, e.Message, "nothing was changed")
			var got []string
			for _, d := range e.Details {
				got = append(got, d.Location+": "+d.Message)
			}
			require.Len(t, got, len(tc.want), strings.Join(got, "\n"))
			for i, want := range tc.want {
				require.True(t, strings.HasPrefix(got[i], want), "got %q, want %q", got[i], want)
			}
		})
	}
}

// A bomb of aliases is refused without being unfolded.
func TestParseRefusesABomb(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("version: 1\ndesired: []\nx0: &x0 [lol]\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&b, "x%d: &x%d [*x%d, *x%d, *x%d, *x%d]\n", i, i, i-1, i-1, i-1, i-1)
	}
	_, err := document.Parse([]byte(b.String()))
	var e *fleet.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "line 3, column 1", e.Details[0].Location)

	_, err = document.Parse([]byte("version: 1\ndesired: " + strings.Repeat("[", 500_000)))
	require.ErrorAs(t, err, &e)
	require.Contains(t, e.Details[0].Message, "this is no YAML")
}

func TestParseNamesTheFirstFaultsOfMany(t *testing.T) {
	t.Parallel()
	text := "version: 1\ndesired:\n- select: all\n  skills:\n"
	for i := range 250 {
		text += fmt.Sprintf("    s%d: prod\n", i)
	}
	_, err := document.Parse([]byte(text))
	var e *fleet.Error
	require.ErrorAs(t, err, &e)
	require.Len(t, e.Details, document.MaxFaults)
	require.Contains(t, e.Message, "250 things are wrong")
	require.Contains(t, e.Message, "(150 more than are named)")
}

func TestReadIsBounded(t *testing.T) {
	t.Parallel()
	_, err := document.Read(io.MultiReader(strings.NewReader("version: 1\ndesired: []\n#"), iotest.DataErrReader(strings.NewReader(strings.Repeat("x", document.MaxBytes)))))
	var e *fleet.Error
	require.ErrorAs(t, err, &e)
	require.Contains(t, e.Message, "longer than 1024 KiB")

	_, err = document.Read(iotest.ErrReader(errors.New("the disk is gone")))
	require.ErrorContains(t, err, "the disk is gone")
}

// A document that came as JSON has no lines: its faults are named by index, and
// everything that Parse checks is checked.
func TestCheckNamesIndexesWhereThereAreNoLines(t *testing.T) {
	t.Parallel()
	d := document.Document{Version: 3, Entries: []document.Entry{
		{Select: "all", Skills: []document.Skill{{SkillID: "a", State: "live"}, {SkillID: "a", State: "live"}, {SkillID: "mine", State: "live"}}},
		{Place: document.Place{Line: 9}, Select: "x"},
	}}
	err := d.Check("mine")
	var e *fleet.Error
	require.ErrorAs(t, err, &e)
	var at []string
	for _, x := range e.Details {
		at = append(at, x.Location)
	}
	require.Equal(t, []string{"version", "desired[0].skills[1]", "desired[0].skills[2]", "line 9", "line 9"}, at)
}

// anyDocument draws documents whose texts are as odd as the words allow.
func anyDocument() *rapid.Generator[document.Document] {
	id := rapid.OneOf(
		rapid.SampledFrom([]string{"true", "null", "~", "1", "0x1f", "-", "a:", "a#", "#a", "&a", "*a", "!a", "?", "[a]", "<<", "=", "2001-01-01", `"`, "'", `\`, "no", "amzn1.ask.skill.x"}),
		rapid.StringOfN(rapid.RuneFrom(graph()), 1, 20, -1),
	)
	value := rapid.StringOfN(rapid.RuneFrom([]rune(`ab1 ,()="\!é日-:#'{}[]`)), 0, 8, -1)
	return rapid.Custom(func(t *rapid.T) document.Document {
		d := document.Document{Version: 1, Account: rapid.SampledFrom([]string{"", "acme", "1", "null"}).Draw(t, "account"), Entries: []document.Entry{}}
		for range rapid.IntRange(0, 4).Draw(t, "entries") {
			term := fleet.Term{Key: rapid.SampledFrom([]string{"property", "unit", "étage", "true", "name"}).Draw(t, "key"), Op: rapid.SampledFrom(fleet.Ops()).Draw(t, "op")}
			if term.Op != fleet.OpHas {
				most := 1
				if term.Op == fleet.OpIn {
					most = 3
				}
				term.Values = rapid.SliceOfN(value, 1, most).Draw(t, "values")
			}
			sel := fleet.Selector{Terms: []fleet.Term{term}}
			if rapid.Bool().Draw(t, "all") {
				sel.Terms = nil
			}
			e := document.Entry{Select: sel.String(), Selector: sel}
			for _, skill := range rapid.SliceOfNDistinct(id, 1, 4, rapid.ID).Draw(t, "skills") {
				e.Skills = append(e.Skills, document.Skill{SkillID: skill, State: rapid.SampledFrom(fleet.DesiredStates()).Draw(t, "state")})
			}
			d.Entries = append(d.Entries, e)
		}
		return d
	})
}

// TestWhatIsWrittenIsReadBackProperty proves that every document a Writer writes
// says the same when it is read, and is the same text when it is written again.
func TestWhatIsWrittenIsReadBackProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := anyDocument().Draw(t, "document")
		text := write(t, want)
		got, err := document.Parse([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, text, write(t, *got))
		require.Equal(t, want.Account, got.Account)
		require.Len(t, got.Entries, len(want.Entries))
		for i, e := range got.Entries {
			require.Equal(t, want.Entries[i].Selector, e.Selector)
			require.ElementsMatch(t, bare(want.Entries[i].Skills), bare(e.Skills))
		}
	})
}

func write(t require.TestingT, d document.Document) string {
	var b strings.Builder
	w := document.NewWriter(&b, d.Account)
	for _, e := range d.Entries {
		require.NoError(t, w.Entry(e))
	}
	require.NoError(t, w.Close())
	return b.String()
}

// bare is skills without their places.
func bare(skills []document.Skill) []document.Skill {
	out := make([]document.Skill, len(skills))
	for i, s := range skills {
		out[i] = document.Skill{SkillID: s.SkillID, State: s.State}
	}
	return out
}

func TestWriterTellsOfAFullDisk(t *testing.T) {
	t.Parallel()
	w := document.NewWriter(failing{}, "acme")
	require.Error(t, w.Close())
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// FuzzParse looks for text that breaks the reader, whose faults have no place, or that
// is read as something that its own writing is not.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"version: 1\ndesired: []\n", "version: 1\naccount: a\ndesired:\n  - select: all\n    skills:\n      a: live\n      b: disabled\n",
		"version: 1\ndesired: [{select: 'floor in (1,2)', skills: {? a : live}}]", "a: [1,\nb: 2\n", "a: &x [*x]\n", "---\n---\n", "a: |\n x\n\ty",
		"%YAML 1.2\n---\nversion: 1", "\xff\xfev\x00", "? - a\n: {b: !!binary c}", "version: 1\r\ndesired:\r\n- &a\n  <<: *a",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := document.Parse(text)
		if err != nil {
			var e *fleet.Error
			require.ErrorAs(t, err, &e)
			require.NotEmpty(t, e.Message)
			for _, x := range e.Details {
				require.Regexp(t, `^line [1-9][0-9]*(, column [1-9][0-9]*)?$`, x.Location)
				require.NotEmpty(t, x.Message)
			}
			return
		}
		require.NoError(t, d.Check())
		again, err := document.Parse([]byte(write(t, *d)))
		require.NoError(t, err)
		require.Len(t, again.Entries, len(d.Entries))
		for i := range d.Entries {
			require.Equal(t, d.Entries[i].Selector, again.Entries[i].Selector)
			require.ElementsMatch(t, bare(d.Entries[i].Skills), bare(again.Entries[i].Skills))
		}
	})
}

// graph is every character that a skill ID may hold.
func graph() []rune {
	var all []rune
	for r := '!'; r <= '~'; r++ {
		all = append(all, r)
	}
	return all
}

// A long file that is wrong at its end is still told of, with the line as far as the
// reader of YAML knows it.
func TestParseRefusesALongWrongFile(t *testing.T) {
	t.Parallel()
	_, err := document.Parse([]byte("version: 1\ndesired: [" + strings.Repeat("a,\n", 300_000)))
	var e *fleet.Error
	require.ErrorAs(t, err, &e)
	require.Regexp(t, "^line [0-9]+$", e.Details[0].Location)
}
