package connector

import (
	"path/filepath"
	"testing"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

func TestTheCursorFileGoesOnWhereAPullEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cursor.json")
	full, incremental := connectorpb.PullMode_PULL_MODE_FULL, connectorpb.PullMode_PULL_MODE_INCREMENTAL
	served := &connectorpb.Capabilities{Incremental: true}
	next := func() *connectorpb.PullRequest {
		t.Helper()
		kept, err := readCursors(path)
		if err != nil {
			t.Fatal(err)
		}
		request := &connectorpb.PullRequest{}
		if request.Mode, err = kept.modeOf("", served); err != nil {
			t.Fatal(err)
		}
		kept.resume(request)
		return request
	}
	keep := func(scope, cursor string, hasMore bool) {
		t.Helper()
		kept, err := readCursors(path)
		if err == nil {
			err = kept.keep(next().Mode, scope, &connectorpb.Checkpoint{Cursor: []byte(cursor), HasMore: hasMore})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if first := next(); first.Mode != full || len(first.States) > 0 {
		t.Errorf("the first pull: %v", first)
	}
	keep("a", "page-2", true)
	keep("b", "end", false)
	if resumed := next(); resumed.Mode != full || len(resumed.States) != 1 || resumed.States[0].Scope != "a" || resumed.ExceptScopes[0] != "b" {
		t.Errorf("a listing under way: %v", resumed)
	}
	keep("a", "end", false)
	if changes := next(); changes.Mode != incremental || len(changes.States) != 2 || len(changes.ExceptScopes) > 0 {
		t.Errorf("after the listing: %v", changes)
	}
	kept, _ := readCursors(path)
	again := &connectorpb.PullRequest{Mode: full}
	if kept.resume(again); len(again.States)+len(again.ExceptScopes) > 0 {
		t.Errorf("a listing that is asked for begins anew: %v", again)
	}
}
