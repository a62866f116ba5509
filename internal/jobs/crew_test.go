package jobs

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The work of one round is done by the goroutines of the round before, beside each
// other, and they end when nothing comes or the door is closed.
func TestACrewKeepsItsGoroutines(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(closed chan struct{}){
		"when nothing comes": func(chan struct{}) { time.Sleep(idleFor) },
		"when it is left":    func(closed chan struct{}) { close(closed) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				closed := make(chan struct{})
				c := newCrew(closed)
				var seen sync.Map
				for range 3 {
					var group sync.WaitGroup
					together := make(chan struct{})
					for range 4 {
						c.run(&group, func() {
							seen.Store(goroutine(), true)
							together <- struct{}{}
						})
					}
					for range 4 {
						<-together // all are at work at once
					}
					group.Wait()
					synctest.Wait()
				}
				n := 0
				seen.Range(func(any, any) bool { n++; return true })
				require.Equal(t, 4, n)
				end(closed)
				synctest.Wait()
			}) // which fails when a goroutine is left
		})
	}
}

func goroutine() string {
	text := make([]byte, 64)
	name, _, _ := strings.Cut(string(text[:runtime.Stack(text, false)]), " [")
	return name
}
