package connector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// source is an HTTP source of a test, and the client of one call to it.
type source struct {
	*httptest.Server
	client *HTTPClient
	call   *call
	// A request that was given up may still be here when the next one comes.
	mutex   sync.Mutex
	asked   []*http.Request
	bodies  []string
	slept   []time.Duration
	answers []func(http.ResponseWriter)
}

func answers(code int, headers ...string) func(http.ResponseWriter) {
	return func(writer http.ResponseWriter) {
		for index := 0; index < len(headers); index += 2 {
			writer.Header().Set(headers[index], headers[index+1])
		}
		writer.WriteHeader(code)
		_, _ = writer.Write([]byte(`{"code": ` + fmt.Sprint(code) + `}`))
	}
}

// newSource answers as told, one after the other, the last again and again. The manifest lets requests go to 127.0.0.1.
func newSource(t *testing.T, manifest string, credential *connectorpb.Credential, answers ...func(http.ResponseWriter)) *source {
	t.Helper()
	source := &source{answers: answers}
	source.Server = httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		source.mutex.Lock()
		source.asked, source.bodies = append(source.asked, request), append(source.bodies, string(body))
		answer := source.answers[min(len(source.asked), len(source.answers))-1]
		source.mutex.Unlock()
		answer(writer)
	}))
	t.Cleanup(source.Close)
	source.open(t, manifest, credential)
	return source
}

// open begins a call, as if the process had just been started.
func (s *source) open(t *testing.T, text string, credential *connectorpb.Credential) {
	t.Helper()
	manifest, err := readManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := newHTTPSource(manifest, map[int]Reason{410: CursorInvalid})
	if err != nil {
		t.Fatal(err)
	}
	shared.sleep = func(ctx context.Context, wait time.Duration) error {
		s.slept = append(s.slept, wait)
		return ctx.Err()
	}
	core := &core{manifest: manifest, http: shared}
	s.call, err = core.beginCall(t.Context(), "test", 1, nil, credential)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.call.end)
	s.client = s.call.http
}

const local = `{"id": "x", "version": "1", "auth": {"type": "api_key"}, "allowed_hosts": ["127.0.0.1"]}`

func (s *source) get(t *testing.T, path string) error {
	t.Helper()
	var into any
	return s.client.GetJSON(t.Context(), s.URL+path, &into)
}

func TestAnswersThatComeTooSoonAreWaitedFor(t *testing.T) {
	source := newSource(t, local, nil, answers(429, "retry-after", "7"), answers(503, "retry-after", "1"), answers(429), answers(200))
	if err := source.get(t, "/"); err != nil || len(source.asked) != 4 {
		t.Fatalf("%v after %d requests", err, len(source.asked))
	}
	if len(source.slept) != 3 || source.slept[0] != 7*time.Second || source.slept[1] != time.Second || source.slept[2] < 2*time.Second || source.slept[2] > 4*time.Second {
		t.Errorf("it waited %v", source.slept)
	}
	// What is longer than a minute, in one or in sum, is the server's to wait for.
	for _, answer := range []func(http.ResponseWriter){answers(429, "retry-after", "61"), answers(429, "retry-after", "0"), answers(429, "retry-after", "soon"), answers(429), answers(503, "retry-after", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))} {
		source := newSource(t, local, nil, answer)
		err := source.get(t, "/")
		var failed *Error
		if !errors.As(err, &failed) || failed.Reason != RateLimited || failed.RetryAfter <= 0 {
			t.Errorf("%v", err)
		}
		var sum time.Duration
		for _, wait := range source.slept {
			sum += wait
		}
		if sum > time.Minute || len(source.asked) > 20 {
			t.Errorf("%d requests, %v", len(source.asked), source.slept)
		}
	}
}

func TestWhatIsSafeIsTriedFourTimes(t *testing.T) {
	source := newSource(t, local, nil, answers(502), answers(503), answers(504), answers(200))
	if err := source.get(t, "/"); err != nil || len(source.asked) != 4 || len(source.slept) != 3 {
		t.Errorf("%v after %d requests", err, len(source.asked))
	}
	source = newSource(t, local, nil, answers(502))
	if err := source.get(t, "/"); !errors.Is(err, SourceUnavailable) || len(source.asked) != 4 {
		t.Errorf("%v after %d requests", err, len(source.asked))
	}
	source = newSource(t, local, nil, answers(502))
	post, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, source.URL, strings.NewReader("{}"))
	if err := source.client.DoJSON(post, new(any)); !errors.Is(err, SourceUnavailable) || len(source.asked) != 1 {
		t.Errorf("a POST: %v after %d requests", err, len(source.asked))
	}
	source = newSource(t, local, nil, answers(503), answers(200))
	put, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, source.URL, strings.NewReader("body"))
	if err := source.client.DoJSON(put, new(any)); err != nil || strings.Join(source.bodies, ",") != "body,body" {
		t.Errorf("a PUT: %v with bodies %v", err, source.bodies)
	}
	// A connection that breaks.
	broken := func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	source = newSource(t, local, nil, broken, broken, answers(200))
	if err := source.get(t, "/"); err != nil {
		t.Errorf("%v", err)
	}
	source.Close()
	if err := source.get(t, "/private?token=x"); !errors.Is(err, SourceUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestAStatusHasItsReason(t *testing.T) {
	oauth := &connectorpb.Credential{Kind: &connectorpb.Credential_Oauth2{Oauth2: &connectorpb.OAuthToken{AccessToken: "token-1"}}}
	key := &connectorpb.Credential{Kind: &connectorpb.Credential_ApiKey{ApiKey: &connectorpb.ApiKey{Key: "key-1"}}}
	for _, one := range []struct {
		status     int
		credential *connectorpb.Credential
		reason     Reason
	}{
		{401, oauth, CredentialExpired}, {401, key, CredentialRevoked}, {403, key, AccessDenied}, {404, key, NotFound}, {410, key, CursorInvalid},
		{413, key, ContentTooLarge}, {500, key, SourceUnavailable}, {418, key, Internal}, {400, key, Internal},
	} {
		source := newSource(t, local, one.credential, answers(one.status))
		if err := source.get(t, "/"); !errors.Is(err, one.reason) {
			t.Errorf("%d: %v", one.status, err)
		}
	}
	source := newSource(t, local, nil, answers(410))
	source.client.transport.source.reasons = nil
	if err := source.get(t, "/"); !errors.Is(err, NotFound) {
		t.Errorf("without the author's table: %v", err)
	}
}

func TestRequestsGoOnlyWhereTheManifestLetsThem(t *testing.T) {
	source := newSource(t, local, nil, answers(200))
	err := source.client.GetJSON(t.Context(), "http://other.example/", new(any))
	if !errors.Is(err, SettingsInvalid) || !strings.Contains(err.Error(), `"other.example"`) {
		t.Errorf("%v", err)
	}
	redirecting := newSource(t, local, nil, answers(302, "location", "http://other.example/"))
	if err := redirecting.get(t, "/"); !errors.Is(err, SettingsInvalid) || len(redirecting.slept) > 0 {
		t.Errorf("a redirect: %v", err)
	}
	for _, address := range []string{"tracker.example/issues", "ftp://127.0.0.1/", "http:///x", ":", ""} {
		if err := source.client.GetJSON(t.Context(), address, new(any)); !errors.Is(err, SettingsInvalid) {
			t.Errorf("%q: %v", address, err)
		}
	}
	open := newSource(t, `{"id": "x"}`, nil, answers(200))
	if err := open.get(t, "/"); !errors.Is(err, SettingsInvalid) || len(open.asked) > 0 || len(open.slept) > 0 {
		t.Errorf("this machine without allowed_hosts: %v", err)
	}
}

func TestTheCredentialIsSetAndLostOnTheWayToAnotherHost(t *testing.T) {
	other := newSource(t, local, nil, answers(200))
	basic := &connectorpb.Credential{Kind: &connectorpb.Credential_Basic{Basic: &connectorpb.BasicCredential{Username: "anna", Password: "pass-word"}}}
	fields := &connectorpb.Credential{Kind: &connectorpb.Credential_Fields{Fields: &connectorpb.FieldsCredential{Values: map[string]string{"key": "key-1"}}}}
	for want, credential := range map[string]*connectorpb.Credential{
		"Bearer key-1":               fields,
		"Basic YW5uYTpwYXNzLXdvcmQ=": basic,
		"":                           nil,
	} {
		source := newSource(t, local, credential, answers(302, "location", other.URL+"/there"))
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, source.URL, nil)
		request.Header.Set("x-api-key", "secret")
		if _, err := source.client.Do(request); err != nil {
			t.Fatal(err)
		}
		if got := source.asked[0].Header.Get("authorization"); got != want {
			t.Errorf("it sent %q, not %q", got, want)
		}
		last := other.asked[len(other.asked)-1]
		if last.Header.Get("authorization") != "" || last.Header.Get("x-api-key") != "" || last.Header.Get("user-agent") != "x/1" {
			t.Errorf("the other host got %v", last.Header)
		}
	}
	back := newSource(t, local, fields)
	back.answers = []func(http.ResponseWriter){
		func(writer http.ResponseWriter) { answers(302, "location", other.URL)(writer) }, answers(200),
	}
	other.answers = []func(http.ResponseWriter){answers(302, "location", back.URL+"/chosen")}
	if err := back.get(t, "/"); err != nil || back.asked[1].Header.Get("authorization") != "" {
		t.Errorf("back from another host: %v with %v", err, back.asked[1].Header)
	}
	source := newSource(t, local, fields, answers(200))
	if err := source.client.GetJSON(WithoutCredential(t.Context()), source.URL, new(any)); err != nil || source.asked[0].Header.Get("authorization") != "" {
		t.Errorf("%v with %v", err, source.asked[0].Header)
	}
}

func TestTheRateLimitsOfTheManifestAreKept(t *testing.T) {
	manifest := strings.Replace(local, `"id"`, `"rate_limits": [{"requests": 2, "per": "10s"}, {"requests": 5, "per": "1d"}], "id"`, 1)
	source := newSource(t, manifest, nil, answers(200))
	var err error
	for range 6 {
		err = source.get(t, "/")
	}
	// Nobody really slept: the third and fourth go after 10 s, the fifth after 20 s, the sixth tomorrow.
	if len(source.slept) != 3 || source.slept[0] < 9*time.Second || source.slept[2] < 19*time.Second {
		t.Errorf("it waited %v", source.slept)
	}
	var failed *Error
	if !errors.As(err, &failed) || failed.Reason != RateLimited || failed.RetryAfter < 23*time.Hour || len(source.asked) != 5 {
		t.Errorf("%v after %d requests", err, len(source.asked))
	}
}

func TestABodyThatBreaksOffIsSourceUnavailable(t *testing.T) {
	source := newSource(t, local, nil, func(writer http.ResponseWriter) {
		writer.Header().Set("content-length", "100")
		_, _ = writer.Write([]byte(`{"a":`))
	})
	if err := source.get(t, "/"); !errors.Is(err, SourceUnavailable) {
		t.Errorf("%v", err)
	}
	source = newSource(t, local, nil, func(writer http.ResponseWriter) { _, _ = writer.Write([]byte("<html>s3cret</html>")) })
	if err := source.get(t, "/"); !errors.Is(err, SourceUnavailable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("no JSON: %v", err)
	}
}

func TestTheTraceIsHandedOn(t *testing.T) {
	source := newSource(t, local, nil, answers(200))
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ctx := context.WithValue(t.Context(), traceKey{}, trace)
	if err := source.client.GetJSON(ctx, source.URL, new(any)); err != nil || source.asked[0].Header.Get("traceparent") != trace {
		t.Errorf("%v, %v", err, source.asked[0].Header)
	}
	for text, is := range map[string]bool{
		trace: true, "cc" + trace[2:] + "-later": true, "": false, "ff" + trace[2:]: false, trace + "-more": false, strings.ToUpper(trace): false,
		strings.Replace(trace, "00f067aa0ba902b7", "0000000000000000", 1): false,
	} {
		if isTraceparent(text) != is {
			t.Errorf("%q", text)
		}
	}
}

func TestASourceThatSendsNothingIsGivenUp(t *testing.T) {
	done := make(chan struct{})
	hangs := func(http.ResponseWriter) { <-done }
	hangsInTheMiddle := func(writer http.ResponseWriter) {
		_, _ = writer.Write([]byte("{"))
		writer.(http.Flusher).Flush()
		<-done
	}
	for name, answer := range map[string]func(http.ResponseWriter){"before": hangs, "in the middle": hangsInTheMiddle} {
		source := newSource(t, local, nil, answer)
		source.client.transport.source.patience = 50 * time.Millisecond
		if err := source.get(t, "/"); !errors.Is(err, SourceUnavailable) || !strings.Contains(err.Error(), errStalled.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	close(done)
}
