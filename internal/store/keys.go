package store

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// keySize is the length of an AES-256 key in bytes.
const keySize = 32

// maxKeyFile bounds what is read of a key file: far above a key, far below harm.
const maxKeyFile = 4 << 10

// keyCheckSetting names the row of settings that tells a wrong key from the right one.
const (
	keyCheckSetting = "encryption_key_check"
	keyCheckText    = "fleetd"
)

// Keys seals secrets before they reach the database and opens them afterwards:
// AES-256-GCM, a random nonce before each ciphertext, and the place a secret rests
// in (table, row and column) as associated data, so that a sealed secret moved to
// another row does not open.
type Keys struct {
	aead cipher.AEAD
}

// NewKeys makes keys of 32 random bytes.
func NewKeys(key []byte) (*Keys, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("an encryption key has %d bytes, not %d", keySize, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make the cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make the cipher: %w", err)
	}
	return &Keys{aead: aead}, nil
}

// LoadKeys reads the key file: 32 bytes in base64 (standard or URL alphabet), with
// white space around it. Errors name the file and the mend, never its content.
func LoadKeys(file string) (*Keys, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the encryption key file (--encryption-key-file): %w", err)
	}
	defer f.Close()
	buf := make([]byte, maxKeyFile+1)
	n, err := readFull(f, buf)
	if err != nil {
		return nil, fmt.Errorf("read the encryption key file %s: %w", file, err)
	}
	key, ok := decodeKey(bytes.TrimSpace(buf[:n]))
	if n > maxKeyFile || !ok {
		return nil, fmt.Errorf("encryption key file %s: it must hold 32 random bytes in base64 and nothing else; "+
			"make one with `head -c 32 /dev/urandom | base64`", file)
	}
	return NewKeys(key)
}

// GenerateKeyFile writes a new key to a file that must not exist, readable by its
// owner only, and returns the keys.
func GenerateKeyFile(file string) (*Keys, error) {
	key := make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make an encryption key: %w", err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the encryption key file: %w", err)
	}
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("write the encryption key file %s: %w", file, err)
	}
	return NewKeys(key)
}

func decodeKey(text []byte) ([]byte, bool) {
	for _, enc := range []*base64.Encoding{
		base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding,
	} {
		if key, err := enc.DecodeString(string(text)); err == nil && len(key) == keySize {
			return key, true
		}
	}
	return nil, false
}

func readFull(f *os.File, buf []byte) (int, error) {
	n := 0
	for n < len(buf) {
		m, err := f.Read(buf[n:])
		n += m
		if m == 0 || err != nil {
			break
		}
	}
	if n == 0 {
		return 0, errors.New("the file is empty or cannot be read")
	}
	return n, nil
}

// Seal encrypts a secret for the place it will rest in.
func (k *Keys) Seal(secret, place string) ([]byte, error) {
	if k == nil {
		return nil, errors.New("seal a secret: no encryption key was loaded")
	}
	nonce := make([]byte, k.aead.NonceSize(), k.aead.NonceSize()+len(secret)+k.aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("seal a secret: %w", err)
	}
	return k.aead.Seal(nonce, nonce, []byte(secret), []byte(place)), nil
}

// Open decrypts what Seal made for the same place. A nil ciphertext is no secret.
func (k *Keys) Open(sealed []byte, place string) (string, error) {
	if sealed == nil {
		return "", nil
	}
	if k == nil {
		return "", errors.New("open a secret: no encryption key was loaded")
	}
	n := k.aead.NonceSize()
	if len(sealed) < n {
		return "", fmt.Errorf("open the secret in %s: it is cut short", place)
	}
	plain, err := k.aead.Open(nil, sealed[:n], sealed[n:], []byte(place))
	if err != nil {
		return "", fmt.Errorf("open the secret in %s: it was sealed with another key or for another row", place)
	}
	return string(plain), nil
}

// CheckKeys says whether the store's key is the one the database's secrets were
// sealed with. The first key a database sees becomes its key. A wrong one is a
// *fleet.Error that names the mend.
func (s *Store) CheckKeys(ctx context.Context) error {
	sealed, err := s.keys.Seal(keyCheckText, "settings/"+keyCheckSetting)
	if err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		if err := q.SettingInsert(ctx, db.SettingInsertParams{Name: keyCheckSetting, Value: sealed}); err != nil {
			return fmt.Errorf("write the key check: %w", err)
		}
		kept, err := q.SettingGet(ctx, keyCheckSetting)
		if err != nil {
			return fmt.Errorf("read the key check: %w", err)
		}
		if text, err := s.keys.Open(kept, "settings/"+keyCheckSetting); err != nil || text != keyCheckText {
			return &fleet.Error{
				Code: fleet.CodeConflict, Field: "--encryption-key-file", Err: err,
				Message: "this is not the key that the secrets in this database were sealed with; " +
					"start with the key file used before (a lost key means a new database, or new credentials for every account)",
			}
		}
		return nil
	})
}
