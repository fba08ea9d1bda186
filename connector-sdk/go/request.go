package connector

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// Mode is what a pull is asked to bring.
type Mode string

// The modes of the contract.
const (
	// Incremental: changes since each scope's cursor.
	Incremental Mode = "INCREMENTAL"
	// Full: a listing of everything, begun where there is no cursor, else resumed from it.
	Full Mode = "FULL"
	// List: a listing of ids and versions. The sink makes Present of each document by itself.
	List Mode = "LIST"
	// Targeted: exactly Pull.IDs; each is answered with a document, a deletion or an item error.
	Targeted Mode = "TARGETED"
)

// IsListing says whether this is a listing, at whose end absence means deletion.
func (m Mode) IsListing() bool { return m == Full || m == List }

func (m Mode) proto() connectorpb.PullMode {
	return connectorpb.PullMode(connectorpb.PullMode_value["PULL_MODE_"+string(m)])
}

// Pull asks for changes.
type Pull[S any] struct {
	// Settings are the connection's.
	Settings S
	// Credential is what to authenticate with; nil where the manifest says none. HTTP has it already.
	Credential *Credential
	// HTTP asks the source.
	HTTP *HTTPClient
	// Mode is what is asked.
	Mode Mode
	// Scopes: only these. Empty: all of them, and new ones. WantsScope answers for one.
	Scopes []string
	// ExceptScopes: not these, which other requests name. Only where Scopes is empty.
	ExceptScopes []string
	// IDs are what Targeted asks for; else empty.
	IDs []string
	// CredentialLifetime is how long the credential lasts; a connector may end the pull at a checkpoint before that. 0: not
	// known.
	CredentialLifetime time.Duration

	states []*connectorpb.ScopeState
	// Scopes without a state of which the server holds something.
	stateless []string
}

// Cursor is that of the last checkpoint that was committed for a scope. nil: begin it.
func (p *Pull[S]) Cursor(scope string) []byte {
	for _, state := range p.states {
		if state.GetScope() == scope {
			return state.GetCursor()
		}
	}
	return nil
}

// CursorJSON reads the cursor into the value that JSONCursor wrote, which stays as it is where there is none. One that does not
// parse is CURSOR_INVALID: the server then lists the scope in full.
func (p *Pull[S]) CursorJSON(scope string, into any) error {
	cursor := p.Cursor(scope)
	if cursor == nil {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(cursor))
	// A field that is not known is one of another version.
	decoder.DisallowUnknownFields()
	if decoder.Decode(into) != nil || decoder.More() {
		return Errorf(CursorInvalid, "the cursor is not one that this version of the connector wrote").WithMetadata("scope", scope)
	}
	return nil
}

// KnownScopes are those of which the server holds something, as far as the request is about them. Where one is gone, closed
// to the account or no longer chosen in the settings, its sink says so with ScopeRemoved.
func (p *Pull[S]) KnownScopes() []string {
	var known []string
	for _, state := range p.states {
		known = append(known, state.GetScope())
	}
	for _, scope := range slices.Concat(p.Scopes, p.stateless) {
		if !slices.Contains(known, scope) {
			known = append(known, scope)
		}
	}
	return known
}

// WantsScope says whether the request is about a scope.
func (p *Pull[S]) WantsScope(scope string) bool {
	return (len(p.Scopes) == 0 || slices.Contains(p.Scopes, scope)) && !slices.Contains(p.ExceptScopes, scope)
}

// TestRequest asks whether a connection works.
type TestRequest[S any] struct {
	// Settings are the connection's.
	Settings S
	// Credential is what to authenticate with; nil for none.
	Credential *Credential
	// HTTP asks the source.
	HTTP *HTTPClient
}

// DiscoverRequest asks for the resources under a parent.
type DiscoverRequest struct {
	// Settings so far. They may be incomplete, so they come as JSON.
	Settings map[string]any
	// Credential is what to authenticate with; nil for none.
	Credential *Credential
	// HTTP asks the source.
	HTTP *HTTPClient
	// Picker is which of the settings' pickers asks. Empty: the only one.
	Picker string
	// ParentID is the resource to look under. Empty: the top.
	ParentID string
	// Query is words that a person typed to search. Empty: everything.
	Query string
	// PageSize is how many at most, 1 to 1,000.
	PageSize int
	// PageToken is NextPageToken of the answer before. Empty: the first page.
	PageToken string
}

// DiscoverResponse is resources under a parent.
type DiscoverResponse struct {
	// Resources in the order to show them.
	Resources []Resource
	// NextPageToken is empty on the last page.
	NextPageToken string
}

// Resource is something that a person may pick in settings.
type Resource struct {
	// ID goes into the settings.
	ID string
	// Name is shown.
	Name string
	// Kind is what it is, such as "folder". Empty: not said.
	Kind string
	// HasChildren says whether there may be more under it.
	HasChildren bool
	// Selectable says whether it can be picked itself, and not only opened.
	Selectable bool
}

// FetchRequest asks for a document's bytes.
type FetchRequest[S any] struct {
	// Settings are the connection's.
	Settings S
	// Credential is what to authenticate with; nil for none.
	Credential *Credential
	// HTTP asks the source.
	HTTP *HTTPClient
	// ID is the document.
	ID string
	// ContentRef is the item's.
	ContentRef string
	// Version is the one that the envelope had; the one served may be newer.
	Version string
	// MaxBytes is how many the server will take; the writer enforces it. 0: no limit is said.
	MaxBytes uint64
}

// Event is a webhook to verify and understand.
type Event[S any] struct {
	// Settings of the connection whose URL was called. nil for an app's URL.
	Settings *S
	// Credential is what to authenticate with. nil for an app's URL.
	Credential *Credential
	// HTTP asks the source.
	HTTP *HTTPClient
	// Method is the HTTP method, upper-case.
	Method string
	// Path is the path and query as they came.
	Path string
	// Headers as they came, names lower-case.
	Headers []EventHeader
	// Body as it came.
	Body []byte
	// SigningSecret is what the source signs with.
	SigningSecret SigningSecret
}

// EventHeader is one HTTP header of a webhook.
type EventHeader struct {
	Name, Value string
}

// EventAnswer is what a webhook means.
type EventAnswer struct {
	// Verified is false where the signature is wrong or missing: the server answers 401 and does nothing else.
	Verified bool
	// ChangedIDs are asked for by TARGETED. At most 1,000.
	ChangedIDs []string
	// Scopes to pull now.
	Scopes []string
	// AllScopes pulls every scope now.
	AllScopes bool
	// Answer is what the source is told. nil: 204 and no body.
	Answer *EventReply
	// RoutingKeys, for an app's URL, tell which connections are meant.
	RoutingKeys []string
}

// EventReply is what the source is told, such as the echo of a challenge.
type EventReply struct {
	// Status is 200 to 499.
	Status int
	// ContentType; empty: "text/plain; charset=utf-8".
	ContentType string
	// Body is at most 64 KiB.
	Body []byte
}

// SigningSecret is what a webhook is signed with. Printing it shows nothing.
type SigningSecret struct{ value string }

// Expose is the secret itself. Empty: none was set.
func (s SigningSecret) Expose() string { return s.value }

// String hides the secret.
func (s SigningSecret) String() string { return "SigningSecret(REDACTED)" }

// GoString hides the secret.
func (s SigningSecret) GoString() string { return s.String() }

// Action asks for a deed.
type Action[S any] struct {
	// Settings are the connection's.
	Settings S
	// Credential is what to authenticate with; nil for none.
	Credential *Credential
	// HTTP asks the source.
	HTTP *HTTPClient
	// Name is the action's id in the manifest.
	Name string
	// Input is valid against the action's input schema.
	Input map[string]any
	// IdempotencyKey: the same key means the same deed, done once. Empty: each call is its own.
	IdempotencyKey string
}
