// Package ratelimit keeps the rate limits of a manifest: never more requests than it says in any stretch of that time.
package ratelimit

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// Limit is one of the manifest's rate_limits.
type Limit struct {
	Requests int
	Per      time.Duration
	// Shared among all connections of this process, and not each connection's own.
	Shared bool
}

// The units of the manifest's durations.
var units = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

var durationPart = regexp.MustCompile(`^\s*([0-9]+)\s*(ms|s|m|h|d|w)`)

// UnmarshalJSON reads it as the manifest has it: {"requests": 10, "per": "1s"}.
func (l *Limit) UnmarshalJSON(text []byte) error {
	var written struct {
		Requests int    `json:"requests"`
		Per      string `json:"per"`
		Reach    string `json:"reach"`
	}
	if err := json.Unmarshal(text, &written); err != nil {
		return err
	}
	per, err := parseDuration(written.Per)
	if err != nil || written.Requests < 1 {
		return fmt.Errorf("a rate limit is written {\"requests\": 10, \"per\": \"1s\"}")
	}
	// A process is not told which organisation a connection is of; by default it serves only one.
	*l = Limit{Requests: written.Requests, Per: per, Shared: written.Reach == "organization" || written.Reach == "connector"}
	return nil
}

func parseDuration(text string) (time.Duration, error) {
	var total time.Duration
	for text != "" {
		part := durationPart.FindStringSubmatch(text)
		if part == nil {
			return 0, fmt.Errorf("%q is no duration", text)
		}
		count, err := strconv.ParseInt(part[1], 10, 32)
		if err != nil {
			return 0, err
		}
		total += time.Duration(count) * units[part[2]]
		text = text[len(part[0]):]
	}
	if total <= 0 {
		return 0, fmt.Errorf("a duration is longer than nothing")
	}
	return total, nil
}

// Limiters holds the requests of each connection to its limits.
type Limiters struct {
	limits []Limit
	mutex  sync.Mutex
	// By connection and place in limits; shared ones under the connection "".
	windows map[windowKey]*window
	pruned  time.Time
}

type windowKey struct {
	connection string
	limit      int
}

// New makes the limiters of a connector.
func New(limits []Limit) *Limiters {
	return &Limiters{limits: limits, windows: map[windowKey]*window{}}
}

// Reserve takes the next free moment for a request of a connection and says how long it is away. Where that is longer than
// patience nothing is taken, and ok is false.
func (l *Limiters) Reserve(connection string, now time.Time, patience time.Duration) (wait time.Duration, ok bool) {
	if len(l.limits) == 0 {
		return 0, true
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.prune(now)
	at := now
	windows := make([]*window, len(l.limits))
	for index, limit := range l.limits {
		key := windowKey{connection, index}
		if limit.Shared {
			key.connection = ""
		}
		if l.windows[key] == nil {
			l.windows[key] = &window{limit: limit}
		}
		windows[index] = l.windows[key]
		if free := windows[index].free(); free.After(at) {
			at = free
		}
	}
	wait = at.Sub(now)
	if wait > patience {
		return wait, false
	}
	for _, window := range windows {
		window.take(at)
	}
	return wait, true
}

// prune forgets connections that have asked nothing for longer than their limits look back.
func (l *Limiters) prune(now time.Time) {
	if now.Sub(l.pruned) < time.Minute {
		return
	}
	l.pruned = now
	for key, window := range l.windows {
		if now.Sub(window.newest) > window.limit.Per {
			delete(l.windows, key)
		}
	}
}

// window is the moments of the last requests, as many as the limit allows in its time.
type window struct {
	limit   Limit
	moments []time.Time
	// Where the oldest one stands, once there are as many as the limit allows.
	oldest int
	newest time.Time
}

// free is when the next request may go.
func (w *window) free() time.Time {
	if len(w.moments) < w.limit.Requests {
		return time.Time{}
	}
	return w.moments[w.oldest].Add(w.limit.Per)
}

func (w *window) take(at time.Time) {
	w.newest = at
	if len(w.moments) < w.limit.Requests {
		w.moments = append(w.moments, at)
		return
	}
	w.moments[w.oldest] = at
	w.oldest = (w.oldest + 1) % len(w.moments)
}
