package connector

import (
	"encoding/json"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// Document is what Normalize makes of an item. The SDK writes the envelope's id, version and content reference from the
// item. The limits of all fields are in document.proto; a longer title is cut, anything else too long is an item error.
type Document struct {
	// Title is the name that a person knows the document by. Empty: the id is shown.
	Title string
	// Content is the text, at most 1 MiB. nil: none is given here; empty: the document has no text.
	Content *string
	// URL is where a person opens the document. Empty: nowhere.
	URL string
	// Metadata is everything else worth keeping, at most 64 KiB: anything that encoding/json writes. The conventional keys
	// are mime_type, owner, size (bytes), path.
	Metadata map[string]any
	// Permissions says who may see it. nil: not known, which is treated as private.
	Permissions *Permissions
	// MediaType is that of the bytes behind the content reference, lower-case, without parameters. Empty: decided by
	// looking at them.
	MediaType string
	// CreatedAt and UpdatedAt are the source's own times. Zero: it does not say.
	CreatedAt, UpdatedAt time.Time
	// ParentID is the container or document that holds this one. Empty: it stands at the top of its scope.
	ParentID string
	// Locator is a second key, unique within a scope at a time, such as a path. Empty: none.
	Locator string
}

// Visibility says who may see a document besides those named.
type Visibility string

// The visibilities of the contract.
const (
	// Private: only those in Allow.
	Private Visibility = "private"
	// Organization: everyone in the organisation.
	Organization Visibility = "organization"
	// Public: everyone.
	Public Visibility = "public"
)

// Permissions say who may see a document. Principals are compact: user:alex@acme.fr, group:google:eng@acme.fr,
// domain:acme.fr. A group is named, never expanded into its members.
type Permissions struct {
	Visibility Visibility
	// Allow may read; Deny may not, whatever else says that they may.
	Allow, Deny []string
}

// Container is a folder, or whatever else holds documents.
type Container struct {
	// ID is in the same space of ids as the documents.
	ID string
	// ParentID is what holds it. Empty: it stands at the top of the scope.
	ParentID string
	// Name is what a person knows it by.
	Name string
	// Locator is as in Document.
	Locator string
}

func (d *Document) envelope() (*connectorpb.DocumentEnvelope, error) {
	envelope := &connectorpb.DocumentEnvelope{
		Title:       readable(d.Title),
		Url:         readable(d.URL),
		Permissions: d.Permissions.proto(),
		MediaType:   readable(d.MediaType),
		CreatedAt:   timestamp(d.CreatedAt),
		UpdatedAt:   timestamp(d.UpdatedAt),
		ParentId:    d.ParentID,
		Locator:     d.Locator,
	}
	if d.Content != nil {
		text := readable(*d.Content)
		envelope.Content = &text
	}
	if d.Metadata != nil {
		metadata, err := protoStruct(d.Metadata)
		if err != nil {
			return nil, Errorf(Internal, "the metadata cannot be written as JSON: the connector's author must mend it")
		}
		envelope.Metadata = metadata
	}
	return envelope, nil
}

func (p *Permissions) proto() *connectorpb.Permissions {
	if p == nil {
		return nil
	}
	return &connectorpb.Permissions{Visibility: readable(string(p.Visibility)), Allow: eachReadable(p.Allow), Deny: eachReadable(p.Deny)}
}

func timestamp(moment time.Time) *timestamppb.Timestamp {
	if moment.IsZero() {
		return nil
	}
	return timestamppb.New(moment)
}

// readable is the text with a mark where bytes are no UTF-8, which protobuf does not carry.
func readable(text string) string {
	// Nearly all texts are, and this sees it eight bytes at a time.
	if utf8.ValidString(text) {
		return text
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

func eachReadable(texts []string) []string {
	clean := make([]string, len(texts))
	for index, text := range texts {
		clean[index] = readable(text)
	}
	return clean
}

// protoStruct writes metadata and other JSON objects as protobuf.
func protoStruct(entries map[string]any) (*structpb.Struct, error) {
	fields := make(map[string]*structpb.Value, len(entries))
	for key, entry := range entries {
		value, err := protoValue(entry)
		if err != nil {
			return nil, err
		}
		fields[readable(key)] = value
	}
	return &structpb.Struct{Fields: fields}, nil
}

func protoValue(entry any) (*structpb.Value, error) {
	switch entry := entry.(type) {
	case nil:
		return structpb.NewNullValue(), nil
	case string:
		return structpb.NewStringValue(readable(entry)), nil
	case bool:
		return structpb.NewBoolValue(entry), nil
	case int:
		return structpb.NewNumberValue(float64(entry)), nil
	case int64:
		return structpb.NewNumberValue(float64(entry)), nil
	case float64:
		if math.IsNaN(entry) || math.IsInf(entry, 0) {
			// JSON has no word for them.
			return structpb.NewNullValue(), nil
		}
		return structpb.NewNumberValue(entry), nil
	case map[string]any:
		inner, err := protoStruct(entry)
		return structpb.NewStructValue(inner), err
	case []any:
		list := &structpb.ListValue{Values: make([]*structpb.Value, len(entry))}
		for index, item := range entry {
			value, err := protoValue(item)
			if err != nil {
				return nil, err
			}
			list.Values[index] = value
		}
		return structpb.NewListValue(list), nil
	default:
		// Times, lists of texts, structs with tags: as JSON has them.
		text, err := json.Marshal(entry)
		if err != nil {
			return nil, err
		}
		var plain any
		if err := json.Unmarshal(text, &plain); err != nil {
			return nil, err
		}
		return protoValue(plain)
	}
}
