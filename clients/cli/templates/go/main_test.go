package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/superfasttt/connectors/connector-sdk/go"
	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
	"github.com/superfasttt/connectors/connector-sdk/go/connectortest"
)

func settings(file string) map[string]any { return map[string]any{"file": file} }

func TestAListingBringsEveryItem(t *testing.T) {
	client := connectortest.Start(t, Source{})
	pulled := client.Collect(connectortest.FullPull(settings("testdata/items.jsonl")))
	if pulled.Err != nil {
		t.Fatal(pulled.Err)
	}
	if got := len(pulled.Documents()); got != 24 {
		t.Errorf("%d documents", got)
	}
	if failed := pulled.ItemErrors(); len(failed) != 1 || failed[0].GetId() != "item-13" {
		t.Errorf("item errors: %v", failed)
	}
	if checkpoints := pulled.Checkpoints(); !checkpoints[len(checkpoints)-1].GetListingComplete() {
		t.Error("the listing is not complete")
	}
}

func TestChangesFollowOnAListing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "items.jsonl")
	source := func(name string) {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err == nil {
			err = os.WriteFile(file, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	client := connectortest.Start(t, Source{})
	source("items.jsonl")
	request := connectortest.FullPull(settings(file))
	request.States = client.Collect(request).States()
	source("items-changed.jsonl")
	request.Mode = connectorpb.PullMode_PULL_MODE_INCREMENTAL
	changed := client.Collect(request)
	if changed.Err != nil {
		t.Fatal(changed.Err)
	}
	titles := map[string]string{}
	for _, document := range changed.Documents() {
		titles[document.GetId()] = document.GetTitle()
	}
	if len(titles) != 2 || titles["item-7"] != "Item 7, renamed" || titles["item-26"] != "Item 26" {
		t.Errorf("documents: %v", titles)
	}
	if gone := changed.Deletions(); len(gone) != 1 || gone[0].GetId() != "item-9" {
		t.Errorf("deletions: %v", gone)
	}
}

func TestAFileThatIsNotThereIsSaid(t *testing.T) {
	client := connectortest.Start(t, Source{})
	pulled := client.Collect(connectortest.FullPull(settings("/no/such/file")))
	if pulled.Err == nil || pulled.Err.Reason != connector.NotFound {
		t.Errorf("ended with %v", pulled.Err)
	}
}
