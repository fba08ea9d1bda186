package ratelimit

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"
)

func limit(t *testing.T, text string) Limit {
	t.Helper()
	var read Limit
	if err := json.Unmarshal([]byte(text), &read); err != nil {
		t.Fatal(err)
	}
	return read
}

func TestInNoStretchOfTheTimeAreThereMoreRequests(t *testing.T) {
	limiters := New([]Limit{limit(t, `{"requests": 10, "per": "1s"}`), limit(t, `{"requests": 100, "per": "1m 30s"}`)})
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Unix(0, 0)
	var moments []time.Time
	for range 1000 {
		now = now.Add(time.Duration(random.Int64N(int64(150 * time.Millisecond))))
		wait, ok := limiters.Reserve("c", now, time.Hour)
		if !ok {
			t.Fatal(wait)
		}
		moments = append(moments, now.Add(wait))
		if random.IntN(2) == 0 {
			now = now.Add(wait)
		}
	}
	for index := range moments {
		if index >= 10 && moments[index].Sub(moments[index-10]) < time.Second || index >= 100 && moments[index].Sub(moments[index-100]) < 90*time.Second {
			t.Fatalf("request %d comes too soon", index)
		}
	}
}

func TestConnectionsHaveTheirOwnLimitUnlessItIsShared(t *testing.T) {
	now := time.Unix(0, 0)
	own := New([]Limit{limit(t, `{"requests": 1, "per": "1h"}`)})
	shared := New([]Limit{limit(t, `{"requests": 1, "per": "1h", "reach": "connector"}`)})
	for limiters, wants := range map[*Limiters]bool{own: true, shared: false} {
		if _, ok := limiters.Reserve("a", now, time.Minute); !ok {
			t.Error("the first request waits")
		}
		if _, ok := limiters.Reserve("b", now, time.Minute); ok != wants {
			t.Errorf("another connection: %t", ok)
		}
	}
	if wait, ok := own.Reserve("a", now.Add(time.Minute), time.Minute); ok || wait != 59*time.Minute {
		t.Errorf("%s", wait)
	}
}

func TestConnectionsThatAskNothingAreForgotten(t *testing.T) {
	limiters := New([]Limit{limit(t, `{"requests": 5, "per": "1s"}`)})
	now := time.Unix(0, 0)
	for number := range 1000 {
		limiters.Reserve(string(rune(number)), now, time.Minute)
	}
	limiters.Reserve("last", now.Add(2*time.Minute), time.Minute)
	if len(limiters.windows) != 1 {
		t.Errorf("%d are kept", len(limiters.windows))
	}
}
