package remote

import "context"

type (
	classKey   struct{}
	gateKey    struct{}
	counterKey struct{}
	begunKey   struct{}
)

// WithClass says which class the requests made with the context belong to.
func WithClass(ctx context.Context, class Class) context.Context {
	return context.WithValue(ctx, classKey{}, class)
}

// ClassFrom returns the class of the context, ClassInteractive where none was set.
func ClassFrom(ctx context.Context) Class {
	class, _ := ctx.Value(classKey{}).(Class)
	return class
}

// WithBegun says that the requests made with the context go on with what others
// began, as the later pages of a list do. In their class they go before those that
// begin something: else nothing would end where more is begun at once than the budget
// lets through in time.
func WithBegun(ctx context.Context) context.Context {
	return context.WithValue(ctx, begunKey{}, true)
}

// Begun reports whether the context was made WithBegun.
func Begun(ctx context.Context) bool {
	begun, _ := ctx.Value(begunKey{}).(bool)
	return begun
}

// Gate is asked right before the bytes of a request leave. Its error stops the
// request, and comes back to the caller wrapped, so that errors.Is finds it.
type Gate func(ctx context.Context) error

// WithGate sets the gate of the requests made with the context. It is asked
// exactly once for each send (so again for each resend), after the slot was
// taken and a connection is there, so that nothing slow lies between it and the
// first byte.
func WithGate(ctx context.Context, gate func(context.Context) error) context.Context {
	return context.WithValue(ctx, gateKey{}, Gate(gate))
}

func gateFrom(ctx context.Context) Gate {
	gate, _ := ctx.Value(gateKey{}).(Gate)
	return gate
}

// Counter counts what physically left for the API, resends included: Requests
// in all, and how many of those the API refused with 429 or 503. It is for calls
// made one after another; it takes no lock.
type Counter struct {
	Requests  int
	Throttled int
}

// WithCounter has the requests made with the context counted.
func WithCounter(ctx context.Context, c *Counter) context.Context {
	return context.WithValue(ctx, counterKey{}, c)
}

func counterFrom(ctx context.Context) *Counter {
	c, _ := ctx.Value(counterKey{}).(*Counter)
	return c
}
