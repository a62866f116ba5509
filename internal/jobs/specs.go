package jobs

import (
	"context"
	"strconv"
	"sync"

	"golang.org/x/sync/singleflight"

	"fleetd/internal/store"
)

// specsKept bounds how many rollouts a process remembers; more than that are
// rarely open at once, and one forgotten is read again.
const specsKept = 1000

// specs remembers what rollouts were made of, which never changes.
type specs struct {
	store *store.Store
	once  singleflight.Group // the first jobs of a rollout come at once
	mu    sync.Mutex
	kept  map[int64]store.RolloutSpec
}

func newSpecs(st *store.Store) *specs { return &specs{store: st, kept: map[int64]store.RolloutSpec{}} }

func (s *specs) get(ctx context.Context, id int64) (store.RolloutSpec, error) {
	s.mu.Lock()
	spec, ok := s.kept[id]
	s.mu.Unlock()
	if ok {
		return spec, nil
	}
	read, err, _ := s.once.Do(strconv.FormatInt(id, 10), func() (any, error) { return s.store.RolloutSpec(ctx, id) })
	if err != nil {
		return spec, err
	}
	spec, _ = read.(store.RolloutSpec)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) >= specsKept {
		clear(s.kept)
	}
	s.kept[id] = spec
	return spec, nil
}
