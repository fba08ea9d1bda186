package connector_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/superfasttt/connectors/connector-sdk/go"
	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
	"github.com/superfasttt/connectors/connector-sdk/go/connectortest"
)

// whole serves every rpc that there is.
type whole struct {
	fake
	content []byte
	length  *uint64
}

func (w whole) Manifest() string {
	return `{"id": "whole", "sync": {"mode": "full"}, "capabilities": ["discover", "fetch_content", "handle_event", "execute"]}`
}

func (w whole) RawSchema() string { return "thing/2" }

func (w whole) DecodeRaw(schema string, data []byte) (thing, error) {
	switch schema {
	case "thing/1":
		return thing{Title: "of version 1: " + string(data)}, nil
	case "thing/2":
		return thing{Title: string(data)}, nil
	}
	return thing{}, connector.Errorf(connector.Internal, "no such schema")
}

func (w whole) Discover(_ context.Context, request *connector.DiscoverRequest) (*connector.DiscoverResponse, error) {
	name := fmt.Sprintf("%v %s %d", request.Settings["root"], request.ParentID, request.PageSize)
	return &connector.DiscoverResponse{Resources: []connector.Resource{{ID: "r", Name: name, Selectable: true}}, NextPageToken: "2"}, nil
}

func (w whole) FetchContent(_ context.Context, request *connector.FetchRequest[settings], content *connector.ContentWriter) error {
	if w.length != nil {
		if err := content.Header(connector.ContentHeader{MediaType: "text/plain", Length: w.length, Version: "v2"}); err != nil {
			return err
		}
	}
	_, err := bytes.NewReader(w.content).WriteTo(content)
	return err
}

func (w whole) HandleEvent(_ context.Context, event *connector.Event[settings]) (*connector.EventAnswer, error) {
	if event.SigningSecret.Expose() != "right" || strings.Contains(fmt.Sprintf("%v %+v %#v", event, event, event), "right") {
		return &connector.EventAnswer{}, nil
	}
	return &connector.EventAnswer{Verified: true, ChangedIDs: []string{string(event.Body)}, Answer: &connector.EventReply{Status: 200, Body: []byte(event.Headers[0].Value)}}, nil
}

func (w whole) Execute(_ context.Context, action *connector.Action[settings]) (map[string]any, error) {
	return map[string]any{"did": action.Name, "with": action.Input["text"], "key": action.IdempotencyKey}, nil
}

func TestRawItemsAreSentAndNormalizedLaterToTheSameEnvelopes(t *testing.T) {
	client := connectortest.Start(t, gives(func(sink sinking) {
		for _, id := range []string{"a", "b", "c"} {
			sink.Document(item(id, "Title "+id))
		}
	}))
	plain := client.Collect(pullWith(connectorpb.PullMode_PULL_MODE_FULL))
	request := pullWith(connectorpb.PullMode_PULL_MODE_FULL)
	request.WantRaw = true
	kept := client.Collect(request).RawItems()
	if len(kept) != 3 || kept[0].Schema != "item/1" || string(kept[0].Data) != `{"title":"Title a"}` {
		t.Fatalf("%v", kept)
	}
	kept = append(kept, &connectorpb.RawItem{Id: "d", Schema: "item/0", Data: []byte("{}")}, &connectorpb.RawItem{Id: "e", Schema: "item/1", Data: []byte(`{"title": 7, "x": "s3cret"`)})
	answers, err := client.NormalizeAll(map[string]any{}, kept)
	if err != nil || len(answers) != 5 {
		t.Fatalf("%v, %v", answers, err)
	}
	for index, document := range plain.Documents() {
		if answers[index].GetDocument().String() != document.String() {
			t.Errorf("%v and %v", answers[index], document)
		}
	}
	for index, id := range map[int]string{3: "d", 4: "e"} {
		failed := answers[index].GetItemError()
		if failed.GetId() != id || strings.Contains(failed.String(), "s3cret") {
			t.Errorf("%v", failed)
		}
	}
}

func TestItemsOfOlderSchemasAreReadByTheAuthor(t *testing.T) {
	client := connectortest.Start(t, whole{})
	answers, err := client.NormalizeAll(map[string]any{}, []*connectorpb.RawItem{
		{Id: "a", Version: "7", ContentRef: "ref", Schema: "thing/1", Data: []byte("x")}, {Id: "b", Schema: "thing/9"}})
	if err != nil || len(answers) != 2 {
		t.Fatalf("%v, %v", answers, err)
	}
	document := answers[0].GetDocument()
	if document.GetTitle() != "of version 1: x" || document.Id != "a" || document.Version != "7" || document.ContentRef != "ref" {
		t.Errorf("%v", document)
	}
	if answers[1].GetItemError().GetId() != "b" {
		t.Errorf("%v", answers[1])
	}
}

func TestNormalizeBeginsWithItsStart(t *testing.T) {
	client := connectortest.Start(t, fake{})
	stream, err := client.Normalize(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&connectorpb.NormalizeRequest{Kind: &connectorpb.NormalizeRequest_Raw{Raw: &connectorpb.RawItem{Id: "a"}}})
	_, err = stream.Recv()
	if !errors.Is(connector.ErrorOfStatus(err), connector.ProtocolViolation) {
		t.Errorf("%v", err)
	}
}

func TestTheBytesOfADocumentAreStreamed(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 150_000)
	length := uint64(len(content))
	client := connectortest.Start(t, whole{content: content, length: &length})
	request := &connectorpb.FetchContentRequest{ContractRevision: 1, Id: "a", ContentRef: "ref"}
	header, got, err := client.Fetch(request)
	if err != nil || !bytes.Equal(got, content) || header.GetLengthBytes() != length || header.Version != "v2" || header.MediaType != "text/plain" {
		t.Errorf("%d bytes, %v, %v", len(got), header, err)
	}
	request.MaxBytes = 1000
	if _, got, err := client.Fetch(request); !errors.Is(err, connector.ContentTooLarge) || len(got) > 0 {
		t.Errorf("a length over the limit: %d bytes, %v", len(got), err)
	}
	unannounced := connectortest.Start(t, whole{content: content})
	if _, _, err := unannounced.Fetch(request); !errors.Is(err, connector.ContentTooLarge) {
		t.Errorf("more bytes than the limit: %v", err)
	}
	wrong := uint64(5)
	request.MaxBytes = 0
	if _, _, err := connectortest.Start(t, whole{content: content, length: &wrong}).Fetch(request); !errors.Is(err, connector.Internal) {
		t.Errorf("another length than announced: %v", err)
	}
	if header, got, err := connectortest.Start(t, whole{}).Fetch(request); header == nil || len(got) > 0 || err != nil {
		t.Errorf("no bytes: %v, %v", header, err)
	}
}

func TestTheOtherCallsAreServedWhereTheManifestDeclaresThem(t *testing.T) {
	client, bare, ctx := connectortest.Start(t, whole{}), connectortest.Start(t, fake{}), t.Context()

	discover := &connectorpb.DiscoverRequest{ContractRevision: 1, Settings: connectortest.Settings(map[string]any{"root": "r"}), ParentId: "p", PageSize: 5000}
	if answer, err := client.Discover(ctx, discover); err != nil || answer.Resources[0].Name != "r p 1000" || answer.NextPageToken != "2" {
		t.Errorf("%v, %v", answer, err)
	}
	event := &connectorpb.HandleEventRequest{ContractRevision: 1, SigningSecret: "right", Body: []byte("id-1"), Headers: []*connectorpb.Header{{Name: "x-challenge", Value: "echo"}}}
	if answer, err := client.HandleEvent(ctx, event); err != nil || !answer.Verified || answer.ChangedIds[0] != "id-1" || string(answer.Answer.Body) != "echo" {
		t.Errorf("%v, %v", answer, err)
	}
	action := &connectorpb.ExecuteRequest{ContractRevision: 1, Action: "send", Input: connectortest.Settings(map[string]any{"text": "hi"}), IdempotencyKey: "k"}
	if answer, err := client.Execute(ctx, action); err != nil || fmt.Sprint(answer.Output.AsMap()) != "map[did:send key:k with:hi]" {
		t.Errorf("%v, %v", answer, err)
	}
	_, errDiscover := bare.Discover(ctx, discover)
	_, errEvent := bare.HandleEvent(ctx, event)
	_, errExecute := bare.Execute(ctx, action)
	_, _, errFetch := bare.Fetch(&connectorpb.FetchContentRequest{ContractRevision: 1})
	for _, err := range []error{errDiscover, errEvent, errExecute} {
		if status.Code(err) != codes.Unimplemented || !errors.Is(connector.ErrorOfStatus(err), connector.Unimplemented) {
			t.Errorf("undeclared: %v", err)
		}
	}
	if !errors.Is(errFetch, connector.Unimplemented) {
		t.Errorf("undeclared: %v", errFetch)
	}
}

func TestDescribeTellsTheManifest(t *testing.T) {
	answer, err := connectortest.Start(t, fake{}).Describe(t.Context(), &connectorpb.DescribeRequest{ContractRevision: 3})
	served := answer.GetCapabilities()
	if err != nil || answer.ManifestJson != everything || !served.Incremental || !served.FullListing || !served.List || !served.Targeted || served.Discover ||
		answer.ContractRevisions[0] != 1 || !strings.HasPrefix(answer.Sdk, "go/") {
		t.Errorf("%v, %v", answer, err)
	}
}

func TestAManifestThatCannotBeServedSaysWhatToMend(t *testing.T) {
	for manifest, says := range map[string]string{
		`{`:          "manifest.json",
		`{"id": ""}`: "it has no id",
		`{"id": "x", "capabilities": ["list", "fetch"]}`:                  `capabilities[1] is "fetch"`,
		`{"id": "x", "capabilities": ["discover"]}`:                       "no method Discover",
		`{"id": "x", "rate_limits": [{"requests": 1, "per": "a while"}]}`: "rate limit",
		`{"id": "x", "rate_limits": [{"requests": 0, "per": "1m"}]}`:      "rate limit",
		`{"id": "x", "settings": []}`:                                     "settings",
	} {
		err := connector.ServeListener(t.Context(), fake{manifest: manifest}, bufconn.Listen(1), "")
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", manifest, err)
		}
	}
}

func TestEveryReasonTravelsThereAndBack(t *testing.T) {
	for number, name := range connectorpb.Reason_name {
		if number == 0 {
			continue
		}
		sent := connector.Errorf(connector.Reason(strings.TrimPrefix(name, "REASON_")), "it broke").
			WithCode("fake.broke").WithMetadata("scope", "s1").WithRetryAfter(7 * time.Second)
		client := connectortest.Start(t, fake{pull: func(context.Context, pulling, sinking) error { return fmt.Errorf("wrapped: %w", sent) }})
		got := client.Collect(pullWith(connectorpb.PullMode_PULL_MODE_FULL)).Err
		if got == nil || got.Reason != sent.Reason || got.Message != "it broke" || got.Code != "fake.broke" || got.Metadata["scope"] != "s1" || got.RetryAfter != 7*time.Second {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestErrorsAreCutToWhatHeadersCarryAndTellNoSecret(t *testing.T) {
	client := connectortest.Start(t, fake{pull: func(_ context.Context, pull pulling, sink sinking) error {
		key, _ := pull.Credential.Token()
		sink.ItemError(connector.ByID("a"), connector.Errorf(connector.NotFound, "no %s here", key))
		sink.Log(0, "with "+key)
		sent := connector.Errorf(connector.NotFound, "key %s %s", key, strings.Repeat("m", 10_000))
		for number := range 40 {
			sent = sent.WithMetadata(fmt.Sprintf("k%02d", number), key+strings.Repeat("v", 1000))
		}
		return sent
	}})
	request := pullWith(connectorpb.PullMode_PULL_MODE_FULL)
	request.Credential = connectortest.OAuth("s3cret-token")
	pulled := client.Collect(request)
	if len(pulled.Err.Message) != 2048 || len(pulled.Err.Metadata) > 17 {
		t.Errorf("%d bytes, %d entries", len(pulled.Err.Message), len(pulled.Err.Metadata))
	}
	if text := fmt.Sprint(pulled.Responses, pulled.Err.Message, pulled.Err.Metadata); strings.Contains(text, "s3cret") || strings.Count(text, "[redacted]") < 3 {
		t.Error(text)
	}
}

func TestAPanicAndAnEndedGoroutineAreErrorsOfTheirCall(t *testing.T) {
	for name, fault := range map[string]func(){"panic": func() { panic("private") }, "goexit": runtime.Goexit} {
		client := connectortest.Start(t, gives(func(sinking) { fault() }))
		pulled := client.Collect(pullWith(connectorpb.PullMode_PULL_MODE_FULL))
		if !errors.Is(pulled.Err, connector.Internal) || strings.Contains(pulled.Err.Message, "private") {
			t.Errorf("%s: %v", name, pulled.Err)
		}
	}
}
