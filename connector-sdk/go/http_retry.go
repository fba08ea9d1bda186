package connector

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/superfasttt/connectors/connector-sdk/go/internal/har"
)

const (
	// Tries of a request that the network or the source failed.
	maxAttempts = 4
	firstPause  = 500 * time.Millisecond
	// How long a request waits in all because it came too soon. What takes longer is the server's to wait for: it holds no
	// run open meanwhile.
	maxWait = 60 * time.Second
)

// send asks until there is an answer worth giving, or waiting longer is the server's matter.
func (t *callTransport) send(request *http.Request) (*http.Response, error) {
	var waited time.Duration
	for attempt, refusals := 1, 0; ; {
		if err := t.takeTurn(request); err != nil {
			return nil, err
		}
		try := request.Clone(request.Context())
		if request.GetBody != nil {
			body, err := request.GetBody()
			if err != nil {
				return nil, err
			}
			try.Body = body
		}
		response, err := t.exchange(try)
		switch {
		case err == nil && isTooSoon(response):
			pause, told := retryAfter(response, time.Now())
			// A source that goes on saying "at once" is not asked for ever.
			if !told || refusals >= maxAttempts {
				pause = max(pause, jitter(time.Second<<min(refusals, 6)))
			}
			refusals++
			waited += pause
			if waited > maxWait || !isRepeatable(request) {
				fault := Errorf(RateLimited, "%s answers %d %s", describe(request), response.StatusCode, http.StatusText(response.StatusCode))
				discard(response)
				return nil, fault.WithRetryAfter(pause)
			}
			discard(response)
			if err := t.pause(request.Context(), pause); err != nil {
				return nil, err
			}
		case attempt < maxAttempts && isSafe(request) && mayPass(response, err):
			if err == nil {
				discard(response)
			}
			if err := t.pause(request.Context(), rand.N(firstPause<<(attempt-1))); err != nil {
				return nil, err
			}
			attempt++
		default:
			return response, err
		}
	}
}

// takeTurn waits until the rate limits of the manifest let the request go.
func (t *callTransport) takeTurn(request *http.Request) error {
	if t.source.player != nil {
		return nil
	}
	wait, ok := t.source.limiters.Reserve(t.connection, time.Now(), maxWait)
	if !ok {
		return Errorf(RateLimited, "the rate limits of the manifest let the next request go in %s", wait.Round(time.Second)).WithRetryAfter(wait)
	}
	return t.pause(request.Context(), wait)
}

// pause waits, except in a replay.
func (t *callTransport) pause(ctx context.Context, wait time.Duration) error {
	if wait <= 0 || t.source.player != nil {
		return ctx.Err()
	}
	return t.source.sleep(ctx, wait)
}

// isTooSoon says whether the source did nothing of the request and asks to come again.
func isTooSoon(response *http.Response) bool {
	switch response.StatusCode {
	case http.StatusTooManyRequests:
		return true
	case http.StatusServiceUnavailable:
		return response.Header.Get("retry-after") != ""
	}
	return false
}

// mayPass says whether the same request may have an answer soon.
func mayPass(response *http.Response, err error) bool {
	if err == nil {
		return response.StatusCode >= 502 && response.StatusCode <= 504
	}
	var refused *Error
	var missing *har.NotRecorded
	var untrusted *tls.CertificateVerificationError
	return !errors.As(err, &refused) && !errors.As(err, &missing) && !errors.As(err, &untrusted) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// isSafe says whether sending a request twice does no more than sending it once.
func isSafe(request *http.Request) bool {
	switch request.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return isRepeatable(request)
	}
	return false
}

// isRepeatable says whether its body can be had again.
func isRepeatable(request *http.Request) bool {
	return request.Body == nil || request.Body == http.NoBody || request.GetBody != nil
}

// jitter is between half of a pause and all of it.
func jitter(pause time.Duration) time.Duration { return pause/2 + rand.N(pause/2+1) }

// discard reads what is left of a small answer, so that its connection can be used again.
func discard(response *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxErrorBodyBytes))
	_ = response.Body.Close()
}
