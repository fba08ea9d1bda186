package connector

import (
	"crypto/tls"
	"errors"
	"net/http"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
	"github.com/superfasttt/connectors/connector-sdk/go/internal/har"
	"github.com/superfasttt/connectors/connector-sdk/go/internal/hosts"
	"github.com/superfasttt/connectors/connector-sdk/go/internal/secrets"
)

// callTransport sends the requests of one call.
type callTransport struct {
	source     *httpSource
	connection string
	credential *Credential
	secrets    *secrets.Set
	network    http.RoundTripper
}

// newHTTPClient makes the client of one call; close frees what is its own.
func (h *httpSource) newHTTPClient(call *call) (client *HTTPClient, close func(), err error) {
	transport := &callTransport{
		source: h, connection: call.connection, credential: call.credential, secrets: call.secrets,
		network: h.network,
	}
	close = func() {}
	if kind, ok := call.credential.kind().(*connectorpb.Credential_ClientCertificate); ok {
		certificate, err := tls.X509KeyPair([]byte(kind.ClientCertificate.GetCertificatePem()), []byte(kind.ClientCertificate.GetPrivateKeyPem()))
		if err != nil {
			return nil, nil, Errorf(SettingsInvalid, "the client certificate and its key cannot be used together")
		}
		own := h.network.Clone()
		own.TLSClientConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
		transport.network, close = own, own.CloseIdleConnections
	}
	return &HTTPClient{&http.Client{Transport: transport}, transport}, close, nil
}

// RoundTrip sends one request: with the credential, only where it may go, as often as it takes.
func (t *callTransport) RoundTrip(asked *http.Request) (*http.Response, error) {
	if asked.Body != nil {
		// Each try has a body of its own.
		defer asked.Body.Close()
	}
	if !hosts.IsHTTP(asked.URL) {
		return nil, Errorf(SettingsInvalid, "an address is none of http or https, or names no host: see the connection's settings")
	}
	if !t.source.allowed.Permits(asked.URL) {
		return nil, Errorf(SettingsInvalid, "requests to %s are not allowed: the line %q is missing in allowed_hosts of manifest.json",
			asked.URL.Host, asked.URL.Hostname()).WithMetadata("host", asked.URL.Host)
	}
	request := asked.Clone(asked.Context())
	if !hasLeftItsHost(asked) {
		t.authenticate(request)
	} else {
		for name := range request.Header {
			if har.SaysSecret(name) {
				request.Header.Del(name)
			}
		}
	}
	if trace := TraceParent(asked.Context()); trace != "" && request.Header.Get("traceparent") == "" {
		request.Header.Set("traceparent", trace)
	}
	if request.Header.Get("user-agent") == "" {
		request.Header.Set("user-agent", t.source.userAgent)
	}
	response, err := t.send(request)
	if err != nil {
		return nil, t.fault(request, err)
	}
	response.Request = asked
	return response, nil
}

// hasLeftItsHost says whether a redirect on the way led to another host. Coming back does not make up for it: where to, the
// other host has chosen.
func hasLeftItsHost(request *http.Request) bool {
	for request.Response != nil && request.Response.Request != nil {
		before := request.Response.Request
		if !hosts.SameHost(before.URL, request.URL) {
			return true
		}
		request = before
	}
	return false
}

func (t *callTransport) authenticate(request *http.Request) {
	if request.Header.Get("authorization") != "" || request.Context().Value(noCredentialKey{}) != nil {
		return
	}
	if username, password, err := t.credential.Basic(); err == nil {
		request.SetBasicAuth(username, password)
	} else if token, err := t.credential.Token(); err == nil {
		request.Header.Set("authorization", t.credential.tokenType()+" "+token)
	}
}

// tokenType is how a token is presented.
func (c *Credential) tokenType() string {
	oauth, ok := c.kind().(*connectorpb.Credential_Oauth2)
	// Providers write it in small letters and do not all take it so.
	if !ok || oauth.Oauth2.GetTokenType() == "" || oauth.Oauth2.GetTokenType() == "bearer" {
		return "Bearer"
	}
	return oauth.Oauth2.GetTokenType()
}

// fault gives a request that got no answer its reason.
func (t *callTransport) fault(request *http.Request, err error) error {
	if request.Context().Err() != nil {
		return request.Context().Err()
	}
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	var missing *har.NotRecorded
	if errors.As(err, &missing) {
		return &Error{Reason: SourceUnavailable, Message: missing.Error(), Cause: err}
	}
	// The text of network errors names hosts and addresses, and nothing of the request.
	return &Error{Reason: SourceUnavailable, Message: t.secrets.Redact(describe(request) + ": " + err.Error()), Cause: err}
}
