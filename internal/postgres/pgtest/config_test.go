package pgtest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestConfigKeepsWhatAURLSays(t *testing.T) {
	t.Parallel()
	for address, host := range map[string]string{
		"postgres://us%40er:p%40s+s%2F@db.example:6543/base?sslmode=disable": "db.example",
		"postgresql://us%40er:p%40s+s%2F@:6543/base?host=%2Fa%2Fsocket":      "/a/socket",
	} {
		conf, err := config(address)
		require.NoError(t, err)
		got, err := pgx.ParseConfig(conf.URL())
		require.NoError(t, err)
		require.Equal(t, host, got.Host)
		require.EqualValues(t, 6543, got.Port)
		require.Equal(t, "us@er", got.User)
		require.Equal(t, "p@s+s/", got.Password)
		require.Equal(t, "base", got.Database)
	}
	for _, address := range []string{"host=db dbname=base", "mysql://db/base", "postgres://db", "postgres://db/", "://"} {
		_, err := config(address)
		require.ErrorContains(t, err, urlVar, address)
	}
}

func TestDockerAddress(t *testing.T) {
	t.Parallel()
	for host, want := range map[string][2]string{
		"":                        {"unix", "/var/run/docker.sock"},
		"unix:///run/podman.sock": {"unix", "/run/podman.sock"},
		"tcp://127.0.0.1:2375":    {"tcp", "127.0.0.1:2375"},
		"http://127.0.0.1:2375":   {"tcp", "127.0.0.1:2375"},
	} {
		network, address := dockerAddress(host)
		require.Equal(t, want, [2]string{network, address}, host)
	}
}

func TestDockerAnswers(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "d.sock")
	t.Setenv("DOCKER_HOST", "unix://"+socket)
	require.False(t, dockerAnswers(t.Context()), "nobody there")

	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	status := http.StatusOK
	daemon := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/_ping", r.URL.Path)
		w.WriteHeader(status)
	}))
	daemon.Listener = listener
	daemon.Start()
	defer daemon.Close()
	require.True(t, dockerAnswers(t.Context()))

	status = http.StatusServiceUnavailable
	require.False(t, dockerAnswers(t.Context()), "there, and not well")
}
