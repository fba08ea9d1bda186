package connector

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/superfasttt/connectors/connector-sdk/go/internal/har"
	"github.com/superfasttt/connectors/connector-sdk/go/internal/hosts"
	"github.com/superfasttt/connectors/connector-sdk/go/internal/ratelimit"
)

const (
	connectTimeout = 10 * time.Second
	// A source that sends nothing for so long is given up.
	stallTimeout = 60 * time.Second
)

// httpSource is what the HTTP clients of all calls share: the manifest's rules, the connections, and the recording.
type httpSource struct {
	allowed   hosts.Allowed
	limiters  *ratelimit.Limiters
	userAgent string
	reasons   map[int]Reason
	network   *http.Transport
	recorder  *har.Recorder
	player    *har.Player
	// Tests have shorter ones, and do not wait.
	patience time.Duration
	sleep    func(ctx context.Context, wait time.Duration) error
}

// newHTTPSource reads CONNECTOR_HTTP_RECORD and CONNECTOR_HTTP_REPLAY.
func newHTTPSource(manifest *manifest, reasons map[int]Reason) (*httpSource, error) {
	version := manifest.Version
	if version == "" {
		version = "0"
	}
	source := &httpSource{
		allowed:   manifest.AllowedHosts,
		limiters:  ratelimit.New(manifest.RateLimits),
		userAgent: fmt.Sprintf("%s/%s", manifest.ID, version),
		reasons:   reasons,
		patience:  stallTimeout,
		sleep:     sleep,
	}
	dialer := &net.Dialer{Timeout: connectTimeout}
	if len(source.allowed) == 0 {
		dialer.Control = refusePrivate
	}
	source.network = &http.Transport{
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: connectTimeout,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     90 * time.Second,
	}
	var err error
	if path := os.Getenv("CONNECTOR_HTTP_REPLAY"); path != "" {
		source.player, err = har.NewPlayer(path)
	} else if path := os.Getenv("CONNECTOR_HTTP_RECORD"); path != "" {
		source.recorder, err = har.NewRecorder(path, sdkVersion)
	}
	return source, err
}

// refusePrivate looks at the address itself, after the name was resolved, so that no name can stand for this machine.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	if hosts.IsPublic(address) {
		return nil
	}
	host, _, _ := net.SplitHostPort(address)
	return Errorf(SettingsInvalid, "requests to %s are not allowed, which is of this machine or of a private network: "+
		"the host's line is missing in allowed_hosts of manifest.json", host)
}

// exchange asks once: the file that is replayed, or the network.
func (t *callTransport) exchange(request *http.Request) (*http.Response, error) {
	source := t.source
	if source.player == nil && source.recorder == nil {
		return guardStall(t.network, request, source.patience)
	}
	var requestBody []byte
	if request.Body != nil {
		read, err := io.ReadAll(request.Body)
		if err != nil {
			return nil, err
		}
		requestBody = read
		request.Body = io.NopCloser(bytes.NewReader(requestBody))
	}
	if source.player != nil {
		return source.player.Answer(request, requestBody, t.secrets)
	}
	started := time.Now()
	response, err := guardStall(t.network, request, source.patience)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return nil, err
	}
	exchange := har.Exchange{
		Request: request, RequestBody: requestBody, Response: response, ResponseBody: body,
		Started: started, Took: time.Since(started),
	}
	if err := source.recorder.Record(exchange, t.secrets); err != nil {
		return nil, &Error{Reason: Internal, Message: err.Error(), Cause: err}
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
