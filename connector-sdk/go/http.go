package connector

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// How much of an error's body is read, so that its connection can be used again.
	maxErrorBodyBytes = 64 * 1024
	// The largest answer that GetJSON reads. Without a bound a source could fill the memory of all its neighbours.
	maxJSONBytes = 64 * 1024 * 1024
)

// HTTPClient asks the source, for one call of the server. It sets the credential, waits where the source says so, retries
// what is safe, keeps the manifest's rate_limits, goes only to its allowed_hosts, and records and replays.
//
// The http.Client within can be given to any library. Its answers are as the source gave them, so their status has to be
// looked at; GetJSON and Check make errors with a reason of it. Where the source cannot be asked at all, errors.As finds an
// *Error in what Do returns.
type HTTPClient struct {
	*http.Client
	transport *callTransport
}

// GetJSON asks for an address and reads the answer as JSON. A status of 400 or more is an error with its reason, as Check
// makes it.
func (c *HTTPClient) GetJSON(ctx context.Context, address string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Errorf(SettingsInvalid, "an address that was made of the settings is none")
	}
	request.Header.Set("accept", "application/json")
	return c.DoJSON(request, into)
}

// DoJSON sends a request and reads the answer as JSON, with errors as GetJSON has them.
func (c *HTTPClient) DoJSON(request *http.Request, into any) error {
	response, err := c.Do(request)
	if err != nil {
		return err
	}
	if err := c.Check(response); err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxJSONBytes+1))
	if err != nil {
		return err
	}
	if len(body) > maxJSONBytes {
		return Errorf(Internal, "%s has more than %d bytes: ask for smaller pages", describe(response.Request), maxJSONBytes)
	}
	if err := json.Unmarshal(body, into); err != nil {
		// The parser's own message may quote the data.
		return Errorf(SourceUnavailable, "%s is not the JSON that was expected (%s)", describe(response.Request), kindOf(err))
	}
	return nil
}

// Check makes an error with its reason of an answer of 400 or more, and closes its body; nil for any other answer. The
// connector's own Reasons come first.
func (c *HTTPClient) Check(response *http.Response) error {
	if response.StatusCode < 400 {
		return nil
	}
	discard(response)
	reason, ok := c.transport.source.reasons[response.StatusCode]
	if !ok {
		reason = c.transport.reasonOfStatus(response.StatusCode)
	}
	fault := Errorf(reason, "%s answers %d %s", describe(response.Request), response.StatusCode, http.StatusText(response.StatusCode))
	if wait, ok := retryAfter(response, time.Now()); ok {
		fault = fault.WithRetryAfter(wait)
	}
	return fault.WithMetadata("http_status", strconv.Itoa(response.StatusCode))
}

func (t *callTransport) reasonOfStatus(status int) Reason {
	switch status {
	case http.StatusUnauthorized:
		if t.credential.isRenewable() {
			return CredentialExpired
		}
		return CredentialRevoked
	case http.StatusForbidden:
		return AccessDenied
	case http.StatusNotFound, http.StatusGone:
		return NotFound
	case http.StatusRequestEntityTooLarge:
		return ContentTooLarge
	case http.StatusTooManyRequests:
		return RateLimited
	}
	if status >= 500 {
		return SourceUnavailable
	}
	return Internal
}

// retryAfter reads the header, which has seconds or a date.
func retryAfter(response *http.Response, now time.Time) (time.Duration, bool) {
	value := strings.TrimSpace(response.Header.Get("retry-after"))
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds >= 0 && seconds < 1e9 {
		return time.Duration(seconds * float64(time.Second)), true
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now)), true
	}
	return 0, false
}

// describe names a request without its query, which may hold a secret.
func describe(request *http.Request) string {
	return fmt.Sprintf("%s %s%s", request.Method, request.URL.Host, request.URL.EscapedPath())
}

type noCredentialKey struct{}

// WithoutCredential is for requests that must not carry the credential, such as those to an address that is signed already.
func WithoutCredential(ctx context.Context) context.Context {
	return context.WithValue(ctx, noCredentialKey{}, true)
}
