// My service: the items of a file, a JSON object a line. Write your source where this reads the file.
package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/superfasttt/connectors/connector-sdk/go"
)

//go:embed manifest.json
var manifest string

// Small, so that the few items in testdata/ have several. Some hundreds are usual; 1,000 is the most.
const itemsACheckpoint = 10

// Settings are what a person sets. The manifest's settings say the same for forms.
type Settings struct {
	File string `json:"file"`
}

// Item is an item as the source gives it: everything that is worth keeping, also what no document shows yet.
type Item struct {
	ID      string  `json:"id"`
	Updated string  `json:"updated"`
	Deleted bool    `json:"deleted"`
	Title   *string `json:"title"`
	Text    string  `json:"text"`
	Author  string  `json:"author"`
}

// Cursor says up to which item everything was given. Several items may have one time, so the id is part of it.
type Cursor struct {
	Updated string `json:"updated"`
	ID      string `json:"id"`
}

func (i Item) cursor() Cursor { return Cursor{i.Updated, i.ID} }

// Times in one form (ISO 8601, UTC) have the order of texts.
func (c Cursor) compare(other Cursor) int {
	return cmp.Or(cmp.Compare(c.Updated, other.Updated), cmp.Compare(c.ID, other.ID))
}

// Source is the connector. It keeps nothing between calls: everything that a call needs comes with its request.
type Source struct{}

// Manifest is the text of manifest.json.
func (Source) Manifest() string { return manifest }

// TestConnection tells a person whether the settings work, before the first sync.
func (Source) TestConnection(_ context.Context, test *connector.TestRequest[Settings]) (*connector.Checks, error) {
	_, err := read(test.Settings)
	return new(connector.Checks).Tried("file_readable", err), nil
}

// Pull brings what comes after the cursor, oldest first: so a listing goes on where it was cut, and changes follow on it.
func (Source) Pull(ctx context.Context, pull *connector.Pull[Settings], sink *connector.Sink[Item]) error {
	var begin, newest Cursor
	if err := pull.CursorJSON("", &begin); err != nil {
		return err
	}
	if pull.Cursor("") == nil && !pull.Mode.IsListing() {
		return connector.Errorf(connector.CursorInvalid, "changes begin where a listing ended")
	}
	items, err := read(pull.Settings)
	if err != nil {
		return err
	}
	slices.SortFunc(items, func(a, b Item) int { return a.cursor().compare(b.cursor()) })
	if len(items) > 0 {
		newest = items[len(items)-1].cursor()
	}
	if begin.compare(newest) > 0 {
		return connector.Errorf(connector.CursorInvalid, "the source has nothing as new as this any more")
	}
	given := 0
	for _, item := range items {
		if item.cursor().compare(begin) <= 0 {
			continue
		}
		if item.Deleted {
			sink.Deletion(connector.ByID(item.ID))
		} else {
			// The version says whether an item is another than before.
			sink.Document(connector.Item[Item]{ID: item.ID, Version: item.Updated, Raw: item})
		}
		if given++; given%itemsACheckpoint == 0 {
			sink.Checkpoint(connector.JSONCursor(item.cursor()), true)
		}
		if ctx.Err() != nil {
			return ctx.Err() // nobody waits for the rest
		}
	}
	// Only a listing has named everything, so only after it what was not named is deleted.
	if pull.Mode.IsListing() {
		sink.CompleteListing(connector.JSONCursor(newest))
	} else {
		sink.Checkpoint(connector.JSONCursor(newest), false)
	}
	return nil
}

// Normalize makes a document of an item: pure, without network and clock. Its error is this item's alone.
func (Source) Normalize(item connector.Item[Item], _ Settings) (*connector.Document, error) {
	if item.Raw.Title == nil {
		return nil, connector.Errorf(connector.ContentUnreadable, "the item has no title")
	}
	updated, err := time.Parse(time.RFC3339, item.Raw.Updated)
	if err != nil {
		return nil, connector.Errorf(connector.ContentUnreadable, "the item's time is none")
	}
	return &connector.Document{
		Title:    *item.Raw.Title,
		Content:  &item.Raw.Text,
		Metadata: map[string]any{"owner": item.Raw.Author},
		// Organization where everybody may see it.
		Permissions: &connector.Permissions{Visibility: connector.Private},
		UpdatedAt:   updated,
	}, nil
}

// read is the source. Yours asks page by page with pull.HTTP, which waits, retries and authenticates.
func read(settings Settings) ([]Item, error) {
	text, err := os.ReadFile(settings.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, connector.Errorf(connector.NotFound, "the file is not there")
	}
	if err != nil {
		return nil, err
	}
	var items []Item
	for lines := json.NewDecoder(bytes.NewReader(text)); lines.More(); {
		var item Item
		if err := lines.Decode(&item); err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

func main() { connector.Serve(Source{}) }
