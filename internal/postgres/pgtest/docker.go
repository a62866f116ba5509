package pgtest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

const (
	// imageVar names the environment variable with the image to run in Docker.
	imageVar     = "FLEET_TEST_POSTGRES_IMAGE"
	defaultImage = "postgres:17-alpine"

	// containerLife is how long a container lives when testcontainers' reaper, which
	// removes it after the tests, is turned off.
	containerLife = "1800"
)

// dockerAnswers asks the Docker daemon whether it is there, in half a second at
// most: testcontainers takes much longer to find that it is not.
func dockerAnswers(ctx context.Context) bool {
	network, address := dockerAddress(os.Getenv("DOCKER_HOST"))
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, address)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/_ping", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// dockerAddress is where DOCKER_HOST points, or the default.
func dockerAddress(host string) (network, address string) {
	network, address, ok := strings.Cut(host, "://")
	if !ok {
		return "unix", "/var/run/docker.sock"
	}
	if network != "unix" {
		network = "tcp"
	}
	return network, address
}

// startContainer starts a server in Docker and returns its URL.
func startContainer(ctx context.Context) (string, error) {
	image := os.Getenv(imageVar)
	if image == "" {
		image = defaultImage
	}
	options := []testcontainers.ContainerCustomizer{
		postgres.WithDatabase("fleetd"), postgres.WithUsername("fleetd"), postgres.WithPassword("fleetd"),
		postgres.BasicWaitStrategies(),
		testcontainers.WithCmdArgs("-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "max_connections=300"),
	}
	if os.Getenv("TESTCONTAINERS_RYUK_DISABLED") == "true" {
		options = append(options, testcontainers.WithEntrypoint("timeout", "-s", "INT", containerLife, "docker-entrypoint.sh"))
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	container, err := postgres.Run(ctx, image, options...)
	if err != nil {
		return "", fmt.Errorf("run %s: %w", image, err)
	}
	address, err := container.ConnectionString(ctx, "sslmode=disable")
	if err != nil {
		return "", fmt.Errorf("find the address of %s: %w", image, err)
	}
	return address, nil
}
