package connector_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
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

func TestConnectionsStayApart(t *testing.T) {
	client := connectortest.Start(t, fake{pull: func(_ context.Context, pull pulling, sink sinking) error {
		key, err := pull.Credential.Token()
		for number := range 50 {
			sink.Document(item(fmt.Sprintf("%s-%s-%d", pull.Settings.Root, key, number), ""))
			sink.Checkpoint([]byte(pull.Settings.Root), true)
		}
		return err
	}})
	var all sync.WaitGroup
	for number := range 100 {
		all.Go(func() {
			root, key := fmt.Sprintf("root%d", number), fmt.Sprintf("key%d", number)
			request := connectortest.FullPull(map[string]any{"root": root})
			request.Credential = connectortest.APIKey(key)
			pulled := client.Collect(request)
			if pulled.Err != nil || len(pulled.Documents()) != 50 {
				t.Errorf("%s: %d documents, %v", root, len(pulled.Documents()), pulled.Err)
			}
			for _, document := range pulled.Documents() {
				if !strings.HasPrefix(document.Id, root+"-"+key+"-") {
					t.Errorf("%s got %s", root, document.Id)
				}
			}
		})
	}
	all.Wait()
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
