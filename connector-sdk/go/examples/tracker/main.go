// A connector of the sample tracker: its issues page by page, then its changes, deletions too.
package main

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"net/url"
	"strconv"

	"github.com/superfasttt/connectors/connector-sdk/go"
)

//go:embed manifest.json
var manifest string

type settings struct{ URL string }

type issue struct {
	Number, Sequence         int
	Title, Body, Author, URL string
	Private                  bool
}

// A cursor is the page that a listing goes on with, and the place in the change feed that follows on the listing.
type cursor struct{ Page, Since int }

type tracker struct{}

func (tracker) Manifest() string { return manifest }

// 410: the tracker has forgotten this place in its change feed.
func (tracker) Reasons() map[int]connector.Reason {
	return map[int]connector.Reason{410: connector.CursorInvalid}
}

func (tracker) TestConnection(ctx context.Context, test *connector.TestRequest[settings]) (*connector.Checks, error) {
	var account struct{ ID, Name, Email string }
	err := test.HTTP.GetJSON(ctx, test.Settings.URL+"/account", &account)
	return new(connector.Checks).Tried("account_readable", err).Account(account.ID, account.Name, account.Email), nil
}

func (tracker) Pull(ctx context.Context, pull *connector.Pull[settings], sink *connector.Sink[issue]) error {
	for _, id := range pull.IDs {
		var found issue
		err := pull.HTTP.GetJSON(ctx, pull.Settings.URL+"/issues/"+url.PathEscape(id), &found)
		sink.Answer(id, found.item(), err)
	}
	var at cursor
	if err := pull.CursorJSON("", &at); err != nil {
		return err
	}
	for more := pull.Mode != connector.Targeted; more; {
		path := fmt.Sprintf("/issues?page=%d", at.Page)
		if pull.Mode == connector.Incremental {
			path, at.Since = fmt.Sprintf("/changes?since=%d", at.Since), 0
		}
		var page struct {
			Issues  []issue // of the listing
			Changes []struct {
				Issue   issue
				Deleted int
			} // of the change feed
			NextPage int `json:"next_page"`
			Sequence int
		}
		if err := pull.HTTP.GetJSON(ctx, pull.Settings.URL+path, &page); err != nil {
			return err
		}
		for _, issue := range page.Issues {
			sink.Document(issue.item())
		}
		for _, change := range page.Changes {
			if change.Deleted > 0 {
				sink.Deletion(connector.ByID(strconv.Itoa(change.Deleted)))
			} else {
				sink.Document(change.Issue.item())
			}
		}
		// A listing keeps the place where it began: what happens meanwhile is in the feed.
		at.Since = cmp.Or(at.Since, page.Sequence)
		at.Page, more = page.NextPage, page.NextPage > 0 || len(page.Changes) > 0
		sink.Checkpoint(connector.JSONCursor(at), more)
	}
	if pull.Mode.IsListing() {
		sink.CompleteListing(connector.JSONCursor(at))
	}
	return nil
}

func (i issue) item() connector.Item[issue] {
	return connector.Item[issue]{ID: strconv.Itoa(i.Number), Version: strconv.Itoa(i.Sequence), Raw: i}
}

func (tracker) Normalize(item connector.Item[issue], _ settings) (*connector.Document, error) {
	if item.Raw.Title == "" {
		return nil, connector.Errorf(connector.ContentUnreadable, "the issue has no title")
	}
	permissions := &connector.Permissions{Visibility: connector.Organization}
	if item.Raw.Private {
		permissions = &connector.Permissions{Visibility: connector.Private, Allow: []string{"user:" + item.Raw.Author}}
	}
	return &connector.Document{Title: item.Raw.Title, Content: &item.Raw.Body, URL: item.Raw.URL, Permissions: permissions}, nil
}

func main() { connector.Serve(tracker{}) }
