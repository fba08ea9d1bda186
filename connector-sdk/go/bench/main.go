// The benchmark's source in Go: as a connector, and as the bare gRPC stream that it is measured against.
//
//	bench                connectord starts it
//	bench bare SOCKET    the bare side: says SOCKET on stdout when it listens, and serves until it is killed
//
// `make bench` runs both, see docs/benchmarks.md. Both sides make their documents as they go, with documentOf.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/superfasttt/connectors/connector-sdk/go"
)

const (
	contentBytes   = 1024
	metadataFields = 8
	perCheckpoint  = 1000
	words          = "the quarterly report of the northern office lists every contract signed since spring with its owner its value " +
		"and the day on which it ends so that nobody has to look for it in a folder again and the people who answer questions about " +
		"it find the newest version first "
)

var (
	// texts is what the texts are pieces of.
	texts     = strings.Repeat(words, contentBytes/len(words)+2)
	createdAt = time.Unix(1_600_000_000, 0)
)

func identifier(number int) string { return fmt.Sprintf("document-%09d", number) }

// documentOf gives what both sides make a document of: the same as bench/src/source.rs makes, field by field.
func documentOf(number int) *connector.Document {
	text := fmt.Sprintf("%d 1 ", number)
	start := number % len(words)
	text += texts[start : start+contentBytes-len(text)]
	metadata := make(map[string]any, metadataFields)
	for field := range metadataFields {
		metadata["field_"+strconv.Itoa(field)] = metadataOf(number, field)
	}
	return &connector.Document{
		Title:     fmt.Sprintf("Document %d", number),
		Content:   &text,
		URL:       fmt.Sprintf("https://documents.example/%d", number),
		Metadata:  metadata,
		MediaType: "text/plain",
		Permissions: &connector.Permissions{Visibility: connector.Private, Allow: []string{
			fmt.Sprintf("user:person-%d@acme.example", number%211),
			fmt.Sprintf("group:team-%d@acme.example", number%13),
			"domain:acme.example",
		}},
		CreatedAt: createdAt,
		UpdatedAt: time.Unix(1_700_000_000+int64(number), 0),
	}
}

func metadataOf(number, field int) any {
	switch field % 4 {
	case 0:
		return fmt.Sprintf("value %d of %d", field*7, number)
	case 1:
		return number * (field + 1)
	case 2:
		return fmt.Sprintf("folder/%d/%d", number%97, number%1009)
	default:
		return number%2 == 0
	}
}

type settings struct{ Documents int }

type source struct{ manifest string }

func (s source) Manifest() string { return s.manifest }

// Pull's cursor is the number of the last document that the listing named.
func (source) Pull(ctx context.Context, pull *connector.Pull[settings], sink *connector.Sink[int]) error {
	var listed int
	if err := pull.CursorJSON("", &listed); err != nil {
		return err
	}
	for number := listed + 1; number <= pull.Settings.Documents && ctx.Err() == nil; number++ {
		sink.Document(connector.Item[int]{ID: identifier(number), Version: "1", Raw: number})
		if number%perCheckpoint == 0 {
			sink.Checkpoint(connector.JSONCursor(number), true)
		}
	}
	sink.CompleteListing(connector.JSONCursor(0))
	return nil
}

func (source) Normalize(item connector.Item[int], _ settings) (*connector.Document, error) {
	return documentOf(item.Raw), nil
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "bare" {
		fatal(serveBare(os.Args[2]))
		return
	}
	// The benchmark writes it into the folder that connectord starts this program in.
	manifest, err := os.ReadFile("manifest.json")
	fatal(err)
	connector.Serve(source{string(manifest)})
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
