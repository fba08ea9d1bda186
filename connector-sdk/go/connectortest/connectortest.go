// Package connectortest drives a connector in a test: the real service and a real client over a pipe in memory.
//
//	client := connectortest.Start(t, Tracker{})
//	pulled := client.Collect(connectortest.FullPull(map[string]any{"url": source.URL}))
//	if pulled.Err != nil || len(pulled.Documents()) != 3 { … }
//
// Record and Replay, called before Start, keep the source's answers beside the test and do without the source later.
package connectortest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/superfasttt/connectors/connector-sdk/go"
	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

const (
	token      = "token-of-a-test"
	pipeBytes  = 1024 * 1024
	maxMessage = 16 * 1024 * 1024
)

// Client calls a connector that is served for one test.
type Client struct {
	connectorpb.ConnectorClient
	// Conn is for calls of other services; it carries the token.
	Conn *grpc.ClientConn
	test testing.TB
}

// Record has what goes through the HTTP client written to a file.
func Record(t *testing.T, path string) { t.Setenv("CONNECTOR_HTTP_RECORD", path) }

// Replay has the HTTP client answer from a file, without network, waits and limits.
func Replay(t *testing.T, path string) { t.Setenv("CONNECTOR_HTTP_REPLAY", path) }

// Start serves a connector until the test ends.
func Start[S, R any](t testing.TB, served connector.Connector[S, R]) *Client {
	t.Helper()
	conn := StartWithToken(t, served, token, "Bearer "+token)
	return &Client{connectorpb.NewConnectorClient(conn), conn, t}
}

// StartWithToken serves a connector that takes one token, to a client that shows another: for calls to be refused.
func StartWithToken[S, R any](t testing.TB, served connector.Connector[S, R], token, authorization string) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(pipeBytes)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- connector.ServeListener(ctx, served, listener, token) }()
	conn, err := grpc.NewClient("passthrough:///connector",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithPerRPCCredentials(header(authorization)),
	)
	if err != nil {
		t.Fatalf("the connector does not answer: %v", err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the connector could not be served: %v", err)
		}
	})
	return conn
}

// header is the authorization that calls carry.
type header string

func (h header) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": string(h)}, nil
}

// A pipe in memory needs no TLS.
func (h header) RequireTransportSecurity() bool { return false }

// FullPull asks for everything from nothing. Settings are anything that is written as a JSON object.
func FullPull(settings any) *connectorpb.PullRequest {
	return &connectorpb.PullRequest{Settings: Settings(settings), Mode: connectorpb.PullMode_PULL_MODE_FULL, ContractRevision: 1}
}

// Settings are settings as they travel. It panics for what is no JSON object.
func Settings(settings any) *structpb.Struct {
	text, err := json.Marshal(settings)
	if err != nil {
		panic(err)
	}
	message := &structpb.Struct{}
	if err := message.UnmarshalJSON(text); err != nil {
		panic(err)
	}
	return message
}

// APIKey is a credential of one key.
func APIKey(key string) *connectorpb.Credential {
	return &connectorpb.Credential{Kind: &connectorpb.Credential_ApiKey{ApiKey: &connectorpb.ApiKey{Key: key}}}
}

// OAuth is a credential of an OAuth 2.0 grant.
func OAuth(accessToken string) *connectorpb.Credential {
	return &connectorpb.Credential{Kind: &connectorpb.Credential_Oauth2{Oauth2: &connectorpb.OAuthToken{AccessToken: accessToken}}}
}

// Fields is a credential of the values that the manifest's auth.fields names.
func Fields(values map[string]string) *connectorpb.Credential {
	return &connectorpb.Credential{Kind: &connectorpb.Credential_Fields{Fields: &connectorpb.FieldsCredential{Values: values}}}
}

// Collect pulls to the end and keeps everything.
func (c *Client) Collect(request *connectorpb.PullRequest) *Pulled {
	c.test.Helper()
	stream, err := c.Pull(c.test.Context(), request)
	pulled := &Pulled{}
	for err == nil {
		var response *connectorpb.PullResponse
		if response, err = stream.Recv(); err == nil {
			pulled.Responses = append(pulled.Responses, response)
		}
	}
	if !errors.Is(err, io.EOF) {
		pulled.Err = connector.ErrorOfStatus(err)
	}
	return pulled
}

// NormalizeAll has raw items normalized, as the server does with those that it kept.
func (c *Client) NormalizeAll(settings any, items []*connectorpb.RawItem) ([]*connectorpb.NormalizeResponse, *connector.Error) {
	c.test.Helper()
	stream, err := c.Normalize(c.test.Context())
	if err != nil {
		return nil, connector.ErrorOfStatus(err)
	}
	go func() {
		// A send that fails shows as the error of the next answer.
		start := &connectorpb.NormalizeStart{Settings: Settings(settings), ContractRevision: 1}
		_ = stream.Send(&connectorpb.NormalizeRequest{Kind: &connectorpb.NormalizeRequest_Start{Start: start}})
		for _, item := range items {
			_ = stream.Send(&connectorpb.NormalizeRequest{Kind: &connectorpb.NormalizeRequest_Raw{Raw: item}})
		}
		_ = stream.CloseSend()
	}()
	var answers []*connectorpb.NormalizeResponse
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return answers, nil
		}
		if err != nil {
			return answers, connector.ErrorOfStatus(err)
		}
		answers = append(answers, answer)
	}
}

// Fetch reads a document's bytes to the end.
func (c *Client) Fetch(request *connectorpb.FetchContentRequest) (*connectorpb.ContentHeader, []byte, *connector.Error) {
	c.test.Helper()
	stream, err := c.FetchContent(c.test.Context(), request)
	var header *connectorpb.ContentHeader
	var content []byte
	for err == nil {
		var response *connectorpb.FetchContentResponse
		if response, err = stream.Recv(); err == nil {
			if response.GetHeader() != nil {
				header = response.GetHeader()
			}
			content = append(content, response.GetChunk()...)
		}
	}
	if errors.Is(err, io.EOF) {
		return header, content, nil
	}
	return header, content, connector.ErrorOfStatus(err)
}
