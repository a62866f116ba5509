package store_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/store"
)

func TestKeysOpenWhatTheySealed(t *testing.T) {
	t.Parallel()
	keys := testKeys(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		secret, place := rapid.String().Draw(t, "secret"), rapid.String().Draw(t, "place")
		sealed, err := keys.Seal(secret, place)
		require.NoError(t, err)
		again, err := keys.Seal(secret, place)
		require.NoError(t, err)
		require.NotEqual(t, sealed, again, "every sealing has a nonce of its own")

		opened, err := keys.Open(sealed, place)
		require.NoError(t, err)
		require.Equal(t, secret, opened)

		_, err = keys.Open(sealed, place+"x")
		require.Error(t, err)
		sealed[rapid.IntRange(0, len(sealed)-1).Draw(t, "byte")] ^= 1
		_, err = keys.Open(sealed, place)
		require.Error(t, err)
	})
}

func TestKeyFileIsMadeOnceAndReadBack(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	made, err := store.GenerateKeyFile(file)
	require.NoError(t, err)
	read, err := store.LoadKeys(file)
	require.NoError(t, err)

	sealed, err := made.Seal("s", "p")
	require.NoError(t, err)
	opened, err := read.Open(sealed, "p")
	require.NoError(t, err)
	require.Equal(t, "s", opened)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	_, err = store.GenerateKeyFile(file)
	require.ErrorIs(t, err, os.ErrExist)
}

func TestLoadKeysRefuses(t *testing.T) {
	t.Parallel()
	short := base64.StdEncoding.EncodeToString([]byte("too short"))
	for name, content := range map[string]string{
		"an empty file":     "",
		"no base64":         strings.Repeat("!", 44),
		"a short key":       short,
		"a key and more":    base64.StdEncoding.EncodeToString(make([]byte, 33)),
		"an endless key":    strings.Repeat("A", 1<<20),
		"a key of raw byte": string(make([]byte, 32)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "key")
			require.NoError(t, os.WriteFile(file, []byte(content), 0o600))

			_, err := store.LoadKeys(file)

			require.ErrorContains(t, err, file)
			require.NotContains(t, err.Error(), short)
		})
	}
}

func TestTheFirstKeyOfADatabaseIsItsKey(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)

	require.NoError(t, store.New(pool, testKeys(t, 1)).CheckKeys(t.Context()))
	require.NoError(t, store.New(pool, testKeys(t, 1)).CheckKeys(t.Context()))
	e := asFleet(t, store.New(pool, testKeys(t, 2)).CheckKeys(t.Context()))

	require.Equal(t, fleet.CodeConflict, e.Code)
	require.Equal(t, "--encryption-key-file", e.Field)
	require.Contains(t, e.Message, "start with the key file used before")
}
