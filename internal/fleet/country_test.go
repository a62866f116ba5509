package fleet_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
)

func TestCountries(t *testing.T) {
	t.Parallel()
	got, err := fleet.ParseCountries("countries", []string{"us", "CA", "US", "Gb"})
	require.NoError(t, err)
	require.Equal(t, []string{"CA", "GB", "US"}, got)
	got, err = fleet.ParseCountries("countries", nil)
	require.NoError(t, err)
	require.Equal(t, []string{}, got, "none is a list")
	for code, says := range map[string]string{
		"UK": "the United Kingdom is GB", "uk": "GB", "XX": "is not a country", "": "is not a country", "USA": "two letters", " U": "is not a country",
		"D ": "is not a country", "é": "is not a country",
	} {
		_, err := fleet.ParseCountries("countries", []string{"US", code})
		require.ErrorContains(t, err, says, code)
		require.ErrorContains(t, err, "countries: ")
	}
	n := 0
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			if _, err := fleet.ParseCountries("", []string{string(a) + string(b)}); err == nil {
				n++
			}
		}
	}
	require.Equal(t, 249, n, "as many as ISO assigned")
}

// What is read is read again to the same.
func TestCountriesAreReadToWhatTheyAre(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		given := rapid.SliceOf(rapid.SampledFrom([]string{"us", "US", "de", "FR", "jp"})).Draw(t, "given")
		once, err := fleet.ParseCountries("", given)
		require.NoError(t, err)
		again, err := fleet.ParseCountries("", once)
		require.NoError(t, err)
		require.Equal(t, once, again)
		require.IsIncreasing(t, append([]string{""}, once...))
	})
}
