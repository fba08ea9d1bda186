package connector_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/superfasttt/connectors/connector-sdk/go"
	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
	"github.com/superfasttt/connectors/connector-sdk/go/connectortest"
)

func TestWhatNormalizeRaisesIsTheItemsErrorAndTellsNoValue(t *testing.T) {
	client := connectortest.Start(t, fake{
		pull: func(_ context.Context, _ pulling, sink sinking) error {
			for _, id := range []string{"known", "unknown", "panics", "nothing", "fine"} {
				sink.Document(item(id, id))
			}
			return nil
		},
		normalize: func(item connector.Item[thing]) (*connector.Document, error) {
			switch item.ID {
			case "known":
				return nil, fmt.Errorf("reading: %w", connector.Errorf(connector.ContentUnreadable, "no title").WithCode("fake.no_title"))
			case "unknown":
				return nil, fmt.Errorf("reading: %w", &fs.PathError{Op: "open", Path: "/private/value", Err: errors.New("s3cret")})
			case "panics":
				panic("private value")
			case "nothing":
				return nil, nil
			}
			return &connector.Document{Title: "Fine"}, nil
		},
	})
	pulled := client.Collect(pullWith(connectorpb.PullMode_PULL_MODE_FULL))
	failed := pulled.ItemErrors()
	if pulled.Err != nil || len(pulled.Documents()) != 1 || len(failed) != 4 {
		t.Fatalf("%v", pulled)
	}
	if failed[0].Error.Reason != connectorpb.Reason_REASON_CONTENT_UNREADABLE || failed[0].Error.Code != "fake.no_title" {
		t.Errorf("%v", failed[0])
	}
	for _, one := range failed[1:] {
		text := one.String()
		if one.Error.Reason != connectorpb.Reason_REASON_INTERNAL || strings.Contains(text, "private") || strings.Contains(text, "s3cret") {
			t.Errorf("%v", one)
		}
	}
}

func TestWhatBreaksALimitIsAnItemErrorAndThePullGoesOn(t *testing.T) {
	long := strings.Repeat("x", 1024*1024+1)
	principals := strings.Split(strings.Repeat(long[:1000]+" ", 4000), " ")
	var deep any = "innermost"
	for range 16 {
		deep = []any{deep}
	}
	for name, bad := range map[string]struct {
		item     connector.Item[thing]
		document connector.Document
		reason   connector.Reason
		named    bool
	}{
		"content":           {item("a", ""), connector.Document{Content: &long}, connector.ContentTooLarge, true},
		"metadata":          {item("a", ""), connector.Document{Metadata: map[string]any{"k": long[:65*1024]}}, connector.ContentTooLarge, true},
		"deep metadata":     {item("a", ""), connector.Document{Metadata: map[string]any{"k": deep}}, connector.ContentTooLarge, true},
		"url":               {item("a", ""), connector.Document{URL: long[:9000]}, connector.ContentTooLarge, true},
		"many principals":   {item("a", ""), connector.Document{Permissions: &connector.Permissions{Allow: principals}}, connector.ContentTooLarge, true},
		"a long principal":  {item("a", ""), connector.Document{Permissions: &connector.Permissions{Deny: []string{long[:1025]}}}, connector.ContentTooLarge, true},
		"no id":             {item("", ""), connector.Document{}, connector.ProtocolViolation, false},
		"a long id":         {item(long[:1025], ""), connector.Document{}, connector.ContentTooLarge, false},
		"an id not UTF-8":   {item("\xff", ""), connector.Document{}, connector.ProtocolViolation, false},
		"metadata not JSON": {item("a", ""), connector.Document{Metadata: map[string]any{"k": func() {}}}, connector.Internal, true},
	} {
		t.Run(name, func(t *testing.T) {
			client := connectortest.Start(t, fake{
				pull: func(_ context.Context, _ pulling, sink sinking) error {
					sink.Document(bad.item)
					sink.Document(item("good", ""))
					return nil
				},
				normalize: func(item connector.Item[thing]) (*connector.Document, error) {
					if item.ID == "good" {
						return &connector.Document{}, nil
					}
					return &bad.document, nil
				},
			})
			pulled := client.Collect(pullWith(connectorpb.PullMode_PULL_MODE_FULL))
			failed := pulled.ItemErrors()
			if pulled.Err != nil || len(pulled.Documents()) != 1 || len(failed) != 1 {
				t.Fatalf("%v, %d documents, %d errors", pulled.Err, len(pulled.Documents()), len(failed))
			}
			if got := connector.ErrorOfProto(failed[0].Error); got.Reason != bad.reason || (failed[0].Target != nil) != bad.named {
				t.Errorf("%v", failed[0])
			}
		})
	}
}

func TestUglyTextIsMended(t *testing.T) {
	client := connectortest.Start(t, fake{
		pull: func(_ context.Context, _ pulling, sink sinking) error {
			sink.Document(item("a", ""))
			sink.ItemError(connector.ByID("b"), connector.Errorf(connector.Internal, "bytes \xff"))
			return nil
		},
		normalize: func(connector.Item[thing]) (*connector.Document, error) {
			return &connector.Document{
				Title:    strings.Repeat("é", 3000),
				Content:  new("caf\xe9"),
				Metadata: map[string]any{"owner": "\xff", "tags": []string{"x"}, "at": time.Unix(0, 0).UTC()},
			}, nil
		},
	})
	pulled := client.Collect(pullWith(connectorpb.PullMode_PULL_MODE_FULL))
	if pulled.Err != nil || len(pulled.Documents()) != 1 || len(pulled.ItemErrors()) != 1 {
		t.Fatalf("%v", pulled)
	}
	document := pulled.Documents()[0]
	if document.Title != strings.Repeat("é", 2048) || document.GetContent() != "caf\uFFFD" {
		t.Errorf("title of %d bytes, content %q", len(document.Title), document.GetContent())
	}
	metadata := document.Metadata.AsMap()
	if metadata["owner"] != "\uFFFD" || fmt.Sprint(metadata["tags"]) != "[x]" || metadata["at"] != "1970-01-01T00:00:00Z" {
		t.Errorf("%v", metadata)
	}
}
