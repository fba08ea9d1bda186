package connector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
	"github.com/superfasttt/connectors/connector-sdk/go/internal/secrets"
)

// The secrets of all calls of this process, for its log.
var runningSecrets secrets.Running

// call is what every rpc with settings and a credential has.
type call struct {
	ctx        context.Context
	credential *Credential
	http       *HTTPClient
	secrets    *secrets.Set
	// Which connection it is of, as far as a process that is told nothing can know.
	connection string
	end        func()
}

type callKey struct{}

// callInfo is what log lines of a call tell.
type callInfo struct {
	rpc string
}

// beginCall checks the revision and brings what the author's code is given. end has to be called.
func (c *core) beginCall(ctx context.Context, rpc string, revision uint32, settings *structpb.Struct, credential *connectorpb.Credential,
	more ...string) (*call, error) {
	if err := checkRevision(revision); err != nil {
		return nil, err
	}
	begun := &call{credential: newCredential(credential, c.manifest.Auth), connection: connectionOf(settings, credential)}
	begun.ctx = context.WithValue(withTrace(ctx), callKey{}, callInfo{rpc})
	hidden := append(begun.credential.values(), secretSettings(c.manifest.settings, settings.AsMap())...)
	begun.secrets = secrets.New(append(hidden, more...))
	client, closeClient, err := c.http.newHTTPClient(begun)
	if err != nil {
		return nil, err
	}
	forget := runningSecrets.Add(begun.secrets)
	begun.http = client
	begun.end = func() {
		closeClient()
		forget()
	}
	return begun, nil
}

func checkRevision(revision uint32) error {
	if revision >= contractRevision {
		return nil
	}
	return violation("the request speaks contract revision %d; this connector speaks %d", revision, contractRevision)
}

// connectionOf is the same for calls with the same settings and credential.
func connectionOf(settings *structpb.Struct, credential *connectorpb.Credential) string {
	hash := sha256.New()
	for _, message := range []proto.Message{settings, credential} {
		// Nothing of what the server sent fails to be written again.
		text, _ := proto.MarshalOptions{Deterministic: true}.Marshal(message)
		part := sha256.Sum256(text)
		hash.Write(part[:])
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// fault is what may be told of an author's error: classified, and without the secrets of the call.
func (c *call) fault(err error) *Error {
	found, known := classify(err)
	if !known {
		slog.ErrorContext(c.ctx, "the connector's code failed", "error", err)
	}
	redacted := *found
	redacted.Message = c.secrets.Redact(found.Message)
	redacted.Metadata = make(map[string]string, len(found.Metadata))
	for key, value := range found.Metadata {
		redacted.Metadata[key] = c.secrets.Redact(value)
	}
	return &redacted
}

// status is how an rpc ends.
func (c *call) status(err error) error {
	if err == nil {
		return nil
	}
	var unsent errNotSent
	if errors.As(err, &unsent) || c.ctx.Err() != nil && errors.Is(err, c.ctx.Err()) {
		// Nobody reads it.
		return err
	}
	return c.fault(err).status()
}

// refusal is how an rpc ends that has not begun.
func refusal(err error) error {
	refused, _ := classify(err)
	return refused.status()
}
