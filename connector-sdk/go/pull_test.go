package connector_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/superfasttt/connectors/connector-sdk/go"
	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
	"github.com/superfasttt/connectors/connector-sdk/go/connectortest"
)

func pullWith(mode connectorpb.PullMode, ids ...string) *connectorpb.PullRequest {
	request := connectortest.FullPull(map[string]any{})
	request.Mode, request.Ids = mode, ids
	return request
}

func TestPagesStayUnderTheLimitsOfTheRequestAndLoseNothing(t *testing.T) {
	client := connectortest.Start(t, gives(func(sink sinking) {
		for number := range 1000 {
			sink.Document(item(fmt.Sprint(number), strings.Repeat("t", 700)))
		}
	}))
	for _, limits := range []*connectorpb.PullLimits{nil, {MaxPageBytes: 64 * 1024, MaxPageChanges: 50}, {MaxPageBytes: 1 << 31, MaxPageChanges: 1 << 31}} {
		request := pullWith(connectorpb.PullMode_PULL_MODE_FULL)
		request.Limits = limits
		pulled := client.Collect(request)
		if len(pulled.Documents()) != 1000 || pulled.Err != nil {
			t.Fatalf("%v: %d documents, %v", limits, len(pulled.Documents()), pulled.Err)
		}
		maxBytes, maxChanges := 1024*1024, 500
		if limits != nil {
			maxBytes, maxChanges = int(min(limits.MaxPageBytes, 3*1024*1024)), int(min(limits.MaxPageChanges, 1<<30))
		}
		for number, document := range pulled.Documents() {
			if document.Id != fmt.Sprint(number) {
				t.Fatalf("document %s stands at %d", document.Id, number)
			}
		}
		for _, page := range pulled.Pages() {
			if proto.Size(page) > maxBytes || len(page.Changes) > maxChanges {
				t.Errorf("%v: a page has %d bytes and %d changes", limits, proto.Size(page), len(page.Changes))
			}
		}
	}
}

func TestACheckpointLeavesAfterAllThatItCovers(t *testing.T) {
	client := connectortest.Start(t, gives(func(sink sinking) {
		other := sink.Scope("other")
		sink.Document(item("a", "A"))
		other.Document(item("b", "B"))
		sink.Checkpoint([]byte("one"), true)
		other.Checkpoint([]byte("two"), false)
	}))
	pulled := client.Collect(pullWith(connectorpb.PullMode_PULL_MODE_INCREMENTAL))
	var told []string
	for _, page := range pulled.Pages() {
		for _, change := range page.Changes {
			told = append(told, page.Scope+":"+change.GetDocument().GetId())
		}
		if page.Checkpoint != nil {
			told = append(told, fmt.Sprintf("%s=%s %t", page.Scope, page.Checkpoint.Cursor, page.Checkpoint.HasMore))
		}
	}
	if got := strings.Join(told, ","); got != ":a,other:b,=one true,other=two false" {
		t.Error(got)
	}
}

func TestABreachOfTheContractFailsThePullAlthoughTheAuthorGoesOn(t *testing.T) {
	full, incremental, targeted := connectorpb.PullMode_PULL_MODE_FULL, connectorpb.PullMode_PULL_MODE_INCREMENTAL, connectorpb.PullMode_PULL_MODE_TARGETED
	for name, breach := range map[string]struct {
		mode   connectorpb.PullMode
		commit func(sink sinking)
	}{
		"an empty cursor":                 {full, func(sink sinking) { sink.Checkpoint(nil, false) }},
		"a cursor over 64 KiB":            {full, func(sink sinking) { sink.Checkpoint(make([]byte, 64*1024+1), false) }},
		"a checkpoint in TARGETED":        {targeted, func(sink sinking) { sink.Checkpoint([]byte("c"), false) }},
		"present in INCREMENTAL":          {incremental, func(sink sinking) { sink.Present("a", "1") }},
		"a listing's end in INCREMENTAL":  {incremental, func(sink sinking) { sink.CompleteListing([]byte("c")) }},
		"a listing's end without cursor":  {full, func(sink sinking) { sink.CompleteListing(nil) }},
		"a scope's name over 1,024 bytes": {full, func(sink sinking) { sink.Scope(strings.Repeat("s", 1025)) }},
		"a cause that there is not":       {full, func(sink sinking) { sink.ScopeRemoved("MISLAID") }},
	} {
		t.Run(name, func(t *testing.T) {
			var ended error
			client := connectortest.Start(t, fake{pull: func(ctx context.Context, _ pulling, sink sinking) error {
				sink.Document(item("before", ""))
				breach.commit(sink)
				sink.Document(item("after", ""))
				ended = ctx.Err()
				return nil
			}})
			var ids []string
			if breach.mode == targeted {
				ids = []string{"before"}
			}
			pulled := client.Collect(pullWith(breach.mode, ids...))
			if !errors.Is(pulled.Err, connector.ProtocolViolation) {
				t.Errorf("it ended with %v", pulled.Err)
			}
			if len(pulled.Documents()) != 1 || pulled.Documents()[0].Id != "before" || len(pulled.Checkpoints()) != 0 {
				t.Errorf("it sent %v", pulled.Responses)
			}
			if ended == nil {
				t.Error("the author's context was not done")
			}
		})
	}
}

func TestAListingIsCompleteOnlyWhenEverythingWasNamed(t *testing.T) {
	broken := connector.Errorf(connector.Internal, "broken")
	for name, listing := range map[string]struct {
		list     func(sink sinking) error
		complete bool
		cursor   string
		log      string
	}{
		"whole":                 {func(sink sinking) error { sink.Document(item("a", "")); return nil }, true, "end", ""},
		"a named error":         {func(sink sinking) error { sink.ItemError(connector.ByID("a"), broken); return nil }, true, "end", ""},
		"an unnamed error":      {func(sink sinking) error { sink.UnnamedError(broken); return nil }, false, "end", "1 item could not be read"},
		"an id that is no name": {func(sink sinking) error { sink.Document(item(strings.Repeat("i", 2000), "")); return nil }, false, "end", "1 item"},
		"a scope error":         {func(sink sinking) error { sink.ScopeError(broken); return nil }, false, "", "ended with an error"},
		"a failed pull":         {func(sinking) error { return broken }, false, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			client := connectortest.Start(t, fake{pull: func(_ context.Context, _ pulling, sink sinking) error {
				sink.CompleteListing([]byte("end"))
				return listing.list(sink)
			}})
			pulled := client.Collect(pullWith(connectorpb.PullMode_PULL_MODE_FULL))
			complete, cursor := false, ""
			for _, checkpoint := range pulled.Checkpoints() {
				complete, cursor = checkpoint.ListingComplete, string(checkpoint.Cursor)
			}
			if complete != listing.complete || cursor != listing.cursor {
				t.Errorf("complete %t with cursor %q", complete, cursor)
			}
			if logs := strings.Join(pulled.Logs(), ""); !strings.Contains(logs, listing.log) || (listing.log == "") != (logs == "") {
				t.Errorf("the run's log says %q", logs)
			}
		})
	}
	manifest := strings.Replace(everything, `"full_listing", `, "", 1)
	client := connectortest.Start(t, fake{manifest: manifest, pull: func(_ context.Context, _ pulling, sink sinking) error {
		sink.CompleteListing([]byte("end"))
		return nil
	}})
	if pulled := client.Collect(pullWith(connectorpb.PullMode_PULL_MODE_FULL)); !errors.Is(pulled.Err, connector.ProtocolViolation) {
		t.Errorf("without full_listing it ended with %v", pulled.Err)
	}
}

func TestAListHasPresentsAndErrorsOnly(t *testing.T) {
	client := connectortest.Start(t, gives(func(sink sinking) {
		sink.Document(item("a", "A"))
		sink.Container(connector.Container{ID: "c", Name: "C"})
		sink.Deletion(connector.ByID("d"))
		sink.Permissions("p", connector.Permissions{Visibility: connector.Public})
		sink.CompleteListing([]byte("end"))
	}))
	pulled := client.Collect(pullWith(connectorpb.PullMode_PULL_MODE_LIST))
	changes := pulled.Changes()
	if len(changes) != 1 || changes[0].GetPresent().GetId() != "a" || changes[0].GetPresent().GetVersion() != "v-a" {
		t.Errorf("%v", changes)
	}
	if checkpoints := pulled.Checkpoints(); len(checkpoints) != 1 || !checkpoints[0].ListingComplete {
		t.Errorf("%v", checkpoints)
	}
}

func TestAnIDThatTheAuthorDidNotAnswerIsAnItemError(t *testing.T) {
	client := connectortest.Start(t, fake{pull: func(_ context.Context, pull pulling, sink sinking) error {
		sink.Answer(pull.IDs[0], item("there", ""), nil)
		sink.Answer(pull.IDs[1], item("", ""), connector.Errorf(connector.NotFound, "no such thing"))
		sink.Answer(pull.IDs[2], item("", ""), connector.Errorf(connector.AccessDenied, "not yours"))
		return nil
	}})
	pulled := client.Collect(pullWith(connectorpb.PullMode_PULL_MODE_TARGETED, "there", "gone", "closed", "forgotten"))
	if pulled.Err != nil || len(pulled.Documents()) != 1 || len(pulled.Deletions()) != 1 || pulled.Deletions()[0].GetId() != "gone" {
		t.Errorf("%v", pulled)
	}
	failed := pulled.ItemErrors()
	if len(failed) != 2 || failed[0].GetId() != "closed" || failed[1].GetId() != "forgotten" {
		t.Errorf("%v", failed)
	}
	client = connectortest.Start(t, gives(func(sink sinking) {
		sink.Answer("a", item("", ""), connector.Errorf(connector.CredentialExpired, "it ended"))
	}))
	if pulled = client.Collect(pullWith(connectorpb.PullMode_PULL_MODE_TARGETED, "a")); !errors.Is(pulled.Err, connector.CredentialExpired) {
		t.Errorf("what concerns the connection ended the pull with %v", pulled.Err)
	}
}

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
	for name, bad := range map[string]struct {
		item     connector.Item[thing]
		document connector.Document
		reason   connector.Reason
		named    bool
	}{
		"content":           {item("a", ""), connector.Document{Content: &long}, connector.ContentTooLarge, true},
		"metadata":          {item("a", ""), connector.Document{Metadata: map[string]any{"k": long[:65*1024]}}, connector.ContentTooLarge, true},
		"url":               {item("a", ""), connector.Document{URL: long[:9000]}, connector.ContentTooLarge, true},
		"many principals":   {item("a", ""), connector.Document{Permissions: &connector.Permissions{Allow: strings.Split(strings.Repeat(long[:1000]+" ", 4000), " ")}}, connector.ContentTooLarge, true},
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

func TestAChangeWaitsNoLongerThanASecondForItsPage(t *testing.T) {
	release := make(chan struct{})
	client := connectortest.Start(t, fake{pull: func(ctx context.Context, _ pulling, sink sinking) error {
		sink.Document(item("a", "A"))
		sink.Progress(1, 0, "reading")
		<-release
		return nil
	}})
	stream, err := client.Pull(t.Context(), pullWith(connectorpb.PullMode_PULL_MODE_FULL))
	if err != nil {
		t.Fatal(err)
	}
	for _, arrives := range []func(*connectorpb.PullResponse) bool{
		func(response *connectorpb.PullResponse) bool { return len(response.GetPage().GetChanges()) == 1 },
		func(response *connectorpb.PullResponse) bool { return response.GetProgress().GetItemsSeen() == 1 },
	} {
		if response, err := stream.Recv(); err != nil || !arrives(response) {
			t.Fatalf("%v, %v", response, err)
		}
	}
	close(release)
}

func TestTheAuthorsCodeEndsWithinASecondAfterTheServerWentAway(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	client := connectortest.Start(t, fake{pull: func(ctx context.Context, _ pulling, sink sinking) error {
		close(begun)
		for ctx.Err() == nil {
			sink.Document(item("a", strings.Repeat("t", 4000)))
		}
		ended <- ctx.Err()
		return ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := client.Pull(ctx, pullWith(connectorpb.PullMode_PULL_MODE_FULL)); err != nil {
		t.Fatal(err)
	}
	<-begun
	cancel()
	select {
	case <-ended:
	case <-time.After(time.Second):
		t.Error("it goes on after a second")
	}
}

func TestTheAuthorWaitsWhereTheServerIsSlower(t *testing.T) {
	given := make(chan int, 1_000_000)
	client := connectortest.Start(t, fake{pull: func(ctx context.Context, _ pulling, sink sinking) error {
		for number := 0; ctx.Err() == nil; number++ {
			sink.Document(item(fmt.Sprint(number), strings.Repeat("t", 4000)))
			given <- number
		}
		return nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := client.Pull(ctx, pullWith(connectorpb.PullMode_PULL_MODE_FULL)); err != nil {
		t.Fatal(err)
	}
	// Nobody reads: after some pages nothing more is taken.
	count := 0
	for quiet := false; !quiet; {
		select {
		case <-given:
			count++
		case <-time.After(500 * time.Millisecond):
			quiet = true
		}
	}
	if count > 5000 {
		t.Errorf("%d documents of 4 kB were taken although nobody reads", count)
	}
}

func TestSettingsThatCannotBeReadAreToldWithoutTheirValues(t *testing.T) {
	client := connectortest.Start(t, fake{})
	pulled := client.Collect(connectortest.FullPull(map[string]any{"limit": "s3cret"}))
	if !errors.Is(pulled.Err, connector.SettingsInvalid) || pulled.Err.Metadata["field"] != "limit" || strings.Contains(pulled.Err.Error(), "s3cret") {
		t.Errorf("%v", pulled.Err)
	}
	answer, err := client.TestConnection(t.Context(), &connectorpb.TestConnectionRequest{
		Settings: connectortest.Settings(map[string]any{"limit": 1.5}), ContractRevision: 1})
	if err != nil || answer.Checks[0].Outcome != connectorpb.Check_OUTCOME_FAILED || answer.Checks[0].Fix == "" {
		t.Errorf("%v, %v", answer, err)
	}
}

func TestRequestsThatTheContractDoesNotAllowAreRefused(t *testing.T) {
	client := connectortest.Start(t, fake{manifest: `{"id": "x", "sync": {"mode": "full"}}`})
	for name, one := range map[string]struct {
		request *connectorpb.PullRequest
		reason  connector.Reason
	}{
		"an older revision":    {&connectorpb.PullRequest{Mode: connectorpb.PullMode_PULL_MODE_FULL}, connector.ProtocolViolation},
		"no mode":              {&connectorpb.PullRequest{ContractRevision: 1}, connector.ProtocolViolation},
		"ids in FULL":          {pullWith(connectorpb.PullMode_PULL_MODE_FULL, "a"), connector.ProtocolViolation},
		"undeclared TARGETED":  {pullWith(connectorpb.PullMode_PULL_MODE_TARGETED, "a"), connector.Unimplemented},
		"undeclared LIST":      {pullWith(connectorpb.PullMode_PULL_MODE_LIST), connector.Unimplemented},
		"undeclared INCREMENT": {pullWith(connectorpb.PullMode_PULL_MODE_INCREMENTAL), connector.Unimplemented},
	} {
		if pulled := client.Collect(one.request); !errors.Is(pulled.Err, one.reason) {
			t.Errorf("%s: %v", name, pulled.Err)
		}
	}
}

func TestACursorOfAnotherVersionIsInvalid(t *testing.T) {
	client := connectortest.Start(t, fake{pull: func(_ context.Context, pull pulling, _ sinking) error {
		var at struct{ Page int }
		return pull.CursorJSON("", &at)
	}})
	for cursor, reason := range map[string]connector.Reason{`{"Page": 3}`: "", `{"Offset": 3}`: connector.CursorInvalid, `{`: connector.CursorInvalid, "\x00\xff": connector.CursorInvalid} {
		request := pullWith(connectorpb.PullMode_PULL_MODE_FULL)
		request.States = []*connectorpb.ScopeState{{Cursor: []byte(cursor)}}
		pulled := client.Collect(request)
		if (reason == "") != (pulled.Err == nil) || reason != "" && !errors.Is(pulled.Err, reason) {
			t.Errorf("%q: %v", cursor, pulled.Err)
		}
	}
}
