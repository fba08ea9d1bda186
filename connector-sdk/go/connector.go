package connector

import "context"

// Connector is one kind of source. A value of it serves many connections at the same time and keeps nothing between
// calls: everything that a call needs comes with its request.
//
// S is what a person sets, as the manifest's settings schema declares it: a struct with json tags. Settings marked
// x-secret are not given to Normalize.
//
// R is an item as the source gives it. In the common path it goes from Pull to Normalize as a value; it is written as JSON
// only where a connection keeps raw items.
//
// A panic in any method becomes an INTERNAL error of that call (in Normalize: of that item) and harms nothing else. A
// panic in a goroutine of the author's own ends the process, as always in Go.
type Connector[S, R any] interface {
	// Manifest gives the text of manifest.json, usually embedded with go:embed. Its capabilities say what is served.
	Manifest() string

	// Pull brings changes: it reads the source from where pull.Cursor says, gives each item to sink, and checkpoints at
	// least every 60 seconds or 1,000 items. ctx ends when the server goes away; return within a second then.
	//
	// A returned error concerns the whole connection. For one bad item call sink.ItemError and go on; for one bad
	// scope, sink.ScopeError.
	Pull(ctx context.Context, pull *Pull[S], sink *Sink[R]) error

	// Normalize turns an item into a document. Pure: the same answer for the same item each time, no network, no clock. A
	// returned error is the item's, and the pull goes on.
	Normalize(item Item[R], settings S) (*Document, error)
}

// A Tester tries a connection. Without it only the settings are checked.
type Tester[S any] interface {
	// TestConnection gives named checks in the order in which a person should read them. A failed check is an answer; an
	// error says that nothing could be found out at all.
	TestConnection(ctx context.Context, request *TestRequest[S]) (*Checks, error)
}

// A Discoverer lists what a person may pick in settings. For the capability discover.
type Discoverer interface {
	// Discover lists one level under a parent.
	Discover(ctx context.Context, request *DiscoverRequest) (*DiscoverResponse, error)
}

// A ContentFetcher streams the bytes behind a content reference. For the capability fetch_content.
type ContentFetcher[S any] interface {
	// FetchContent gives the header, then writes the bytes. It may fail in the middle of them.
	FetchContent(ctx context.Context, request *FetchRequest[S], content *ContentWriter) error
}

// An EventHandler understands webhooks. For the capability handle_event.
type EventHandler[S any] interface {
	// HandleEvent verifies a webhook and says what it means. A wrong signature is an answer: Verified is false.
	HandleEvent(ctx context.Context, event *Event[S]) (*EventAnswer, error)
}

// An Executor carries out actions. For the capability execute.
type Executor[S any] interface {
	// Execute carries out an action of the manifest and gives its output.
	Execute(ctx context.Context, action *Action[S]) (map[string]any, error)
}

// A RawSchemer names the shape of raw items; without it the name is "item/1". Give a new name when the shape changes, and
// read the old ones with a [RawDecoder].
type RawSchemer interface {
	// RawSchema is 1 to 255 bytes.
	RawSchema() string
}

// A RawDecoder reads raw items that were kept, perhaps by an older version of the connector. Without it those of another
// schema are refused.
type RawDecoder[R any] interface {
	// DecodeRaw reads one item of the schema named. An error is that item's alone.
	DecodeRaw(schema string, data []byte) (R, error)
}

// A ReasonTable says what answers of the source's HTTP API mean, where that differs from what most mean by them.
type ReasonTable interface {
	// Reasons has the reason of a status of 400 or more. What it does not have is looked up in the SDK's own table.
	Reasons() map[int]Reason
}
