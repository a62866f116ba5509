package ratelimit

import (
	"log/slog"
	"time"
)

// noticeEvery is how far apart the lines are that say whether an account is throttled. A
// budget that learns is refused now and then for as long as it works.
const noticeEvery = 30 * time.Second

// notice is what the log was told of refusals.
type notice struct {
	throttled bool      // as told
	at        time.Time // when it was; zero: never
	refused   time.Time // the last refusal
	refusals  int       // since the account was told to be throttled
}

// tell logs that the account has come to be throttled, or is so no longer. It is called with
// each update of the row, so an account at rest is found to be free when it works again.
func (b *Budget) tell(now time.Time, row Row, refused bool) {
	n := &b.notice
	if refused {
		n.refused = now
		n.refusals++
		b.logger.LogAttrs(b.ctx, slog.LevelDebug, "api refused a request: budget blocked",
			slog.String("account", b.account), slog.Float64("rate", row.Rate),
			slog.Time("blocked_until", row.BlockedUntil), slog.Int("refusals", row.Refusals))
	}
	switch {
	case refused && !n.throttled && (n.at.IsZero() || now.Sub(n.at) >= noticeEvery):
		n.throttled, n.at = true, now
		b.logger.LogAttrs(b.ctx, slog.LevelInfo, "account throttled: the api refuses requests",
			slog.String("account", b.account), slog.Float64("rate", row.Rate), slog.Time("blocked_until", row.BlockedUntil))
	case n.throttled && !b.blockedUntil.After(now) && now.Sub(n.refused) >= noticeEvery:
		b.logger.LogAttrs(b.ctx, slog.LevelInfo, "account no longer throttled",
			slog.String("account", b.account), slog.Float64("rate", row.Rate), slog.Int("refused", n.refusals))
		*n = notice{at: now}
	}
}
