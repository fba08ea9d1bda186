package connector

import (
	"context"
	"errors"
	"strings"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

const (
	// The one revision of the contract that there is.
	contractRevision = 1
	sdkVersion       = "0.1.0"
	// The contract's own limit on ids in one request.
	maxTargetedIDs      = 1000
	defaultDiscoverPage = 100
	maxDiscoverPage     = 1000
)

// core is what does not depend on the author's types.
type core struct {
	connectorpb.UnimplementedConnectorServer
	manifest *manifest
	http     *httpSource
	// Closed when the process is asked to end: running calls then end with an error that says to call again.
	stopping <-chan struct{}
}

// service is the generated service, answered by an author's Connector.
type service[S, R any] struct {
	core
	connector Connector[S, R]
}

// newService says what the author must mend where the connector cannot be served.
func newService[S, R any](connector Connector[S, R], stopping <-chan struct{}) (*service[S, R], error) {
	manifest, err := readManifest(connector.Manifest())
	if err != nil {
		return nil, err
	}
	if missing := missingMethods(connector, manifest.capabilities); len(missing) > 0 {
		return nil, errors.New("the connector's author must mend it: " + strings.Join(missing, "; "))
	}
	var reasons map[int]Reason
	if table, ok := connector.(ReasonTable); ok {
		reasons = table.Reasons()
	}
	source, err := newHTTPSource(manifest, reasons)
	if err != nil {
		return nil, err
	}
	return &service[S, R]{core{manifest: manifest, http: source, stopping: stopping}, connector}, nil
}

func (s *service[S, R]) Describe(_ context.Context, request *connectorpb.DescribeRequest) (*connectorpb.DescribeResponse, error) {
	if err := checkRevision(request.GetContractRevision()); err != nil {
		return nil, refusal(err)
	}
	return &connectorpb.DescribeResponse{
		ManifestJson:      s.manifest.text,
		Capabilities:      s.manifest.capabilities,
		ContractRevisions: []uint32{contractRevision},
		Sdk:               "go/" + sdkVersion,
	}, nil
}

func (s *service[S, R]) TestConnection(ctx context.Context, request *connectorpb.TestConnectionRequest) (*connectorpb.TestConnectionResponse, error) {
	call, err := s.beginCall(ctx, "test_connection", request.GetContractRevision(), request.GetSettings(), request.GetCredential())
	if err != nil {
		return nil, refusal(err)
	}
	defer call.end()
	settings, fault := parseSettings[S](request.GetSettings())
	if fault != nil {
		// A failed check is an answer: a person sees it beside the settings.
		return &new(Checks).Failed("settings_valid", fault.Message, mends[SettingsInvalid]).response, nil
	}
	checks, err := answer(call.ctx, s.stopping, func(ctx context.Context) (*Checks, error) {
		tester, ok := s.connector.(Tester[S])
		if !ok {
			return new(Checks).Passed("settings_valid", "the settings can be read"), nil
		}
		return tester.TestConnection(ctx, &TestRequest[S]{settings, call.credential, call.http})
	})
	if err == nil && checks == nil {
		err = Errorf(Internal, "the connector gave no checks")
	}
	if err != nil {
		return nil, call.status(err)
	}
	for _, check := range checks.response.Checks {
		check.Message, check.Fix = call.secrets.Redact(check.Message), call.secrets.Redact(check.Fix)
	}
	return &checks.response, nil
}

func (s *service[S, R]) Discover(ctx context.Context, request *connectorpb.DiscoverRequest) (*connectorpb.DiscoverResponse, error) {
	discoverer, ok := s.connector.(Discoverer)
	if !ok || !s.manifest.capabilities.Discover {
		return nil, unimplemented("discover").status()
	}
	call, err := s.beginCall(ctx, "discover", request.GetContractRevision(), request.GetSettings(), request.GetCredential())
	if err != nil {
		return nil, refusal(err)
	}
	defer call.end()
	pageSize := int(request.GetPageSize())
	switch {
	case pageSize < 0:
		return nil, violation("page_size is negative").status()
	case pageSize == 0:
		pageSize = defaultDiscoverPage
	}
	found, err := answer(call.ctx, s.stopping, func(ctx context.Context) (*DiscoverResponse, error) {
		return discoverer.Discover(ctx, &DiscoverRequest{
			Settings: request.GetSettings().AsMap(), Credential: call.credential, HTTP: call.http,
			Picker: request.GetPicker(), ParentID: request.GetParentId(), Query: request.GetQuery(),
			PageSize: min(pageSize, maxDiscoverPage), PageToken: request.GetPageToken(),
		})
	})
	if err != nil {
		return nil, call.status(err)
	}
	return found.proto(), nil
}

func (s *service[S, R]) FetchContent(request *connectorpb.FetchContentRequest, out connectorpb.Connector_FetchContentServer) error {
	fetcher, ok := s.connector.(ContentFetcher[S])
	if !ok || !s.manifest.capabilities.FetchContent {
		return unimplemented("fetch_content").status()
	}
	call, err := s.beginCall(out.Context(), "fetch_content", request.GetContractRevision(), request.GetSettings(), request.GetCredential())
	if err != nil {
		return refusal(err)
	}
	defer call.end()
	settings, fault := parseSettings[S](request.GetSettings())
	if fault != nil {
		return fault.status()
	}
	return call.status(stream(call.ctx, s.stopping, out.Send, func(ctx context.Context, responses chan<- *connectorpb.FetchContentResponse) error {
		content := &ContentWriter{ctx: ctx, responses: responses, maxBytes: request.GetMaxBytes()}
		err := fetcher.FetchContent(ctx, &FetchRequest[S]{
			Settings: settings, Credential: call.credential, HTTP: call.http, ID: request.GetId(),
			ContentRef: request.GetContentRef(), Version: request.GetVersion(), MaxBytes: request.GetMaxBytes(),
		}, content)
		if err != nil {
			return err
		}
		return content.finish()
	}))
}

func (s *service[S, R]) HandleEvent(ctx context.Context, request *connectorpb.HandleEventRequest) (*connectorpb.HandleEventResponse, error) {
	handler, ok := s.connector.(EventHandler[S])
	if !ok || !s.manifest.capabilities.HandleEvent {
		return nil, unimplemented("handle_event").status()
	}
	call, err := s.beginCall(ctx, "handle_event", request.GetContractRevision(), request.GetSettings(), request.GetCredential(),
		request.GetSigningSecret())
	if err != nil {
		return nil, refusal(err)
	}
	defer call.end()
	event := &Event[S]{
		Credential: call.credential, HTTP: call.http, Method: request.GetMethod(), Path: request.GetPath(),
		Body: request.GetBody(), SigningSecret: SigningSecret{request.GetSigningSecret()},
	}
	if request.GetSettings() != nil {
		settings, fault := parseSettings[S](request.GetSettings())
		if fault != nil {
			return nil, fault.status()
		}
		event.Settings = &settings
	}
	for _, header := range request.GetHeaders() {
		event.Headers = append(event.Headers, EventHeader{header.GetName(), header.GetValue()})
	}
	meaning, err := answer(call.ctx, s.stopping, func(ctx context.Context) (*EventAnswer, error) {
		return handler.HandleEvent(ctx, event)
	})
	if err != nil {
		return nil, call.status(err)
	}
	return meaning.proto(), nil
}

func (s *service[S, R]) Execute(ctx context.Context, request *connectorpb.ExecuteRequest) (*connectorpb.ExecuteResponse, error) {
	executor, ok := s.connector.(Executor[S])
	if !ok || !s.manifest.capabilities.Execute {
		return nil, unimplemented("execute").status()
	}
	call, err := s.beginCall(ctx, "execute", request.GetContractRevision(), request.GetSettings(), request.GetCredential())
	if err != nil {
		return nil, refusal(err)
	}
	defer call.end()
	settings, fault := parseSettings[S](request.GetSettings())
	if fault != nil {
		return nil, fault.status()
	}
	output, err := answer(call.ctx, s.stopping, func(ctx context.Context) (map[string]any, error) {
		return executor.Execute(ctx, &Action[S]{
			Settings: settings, Credential: call.credential, HTTP: call.http, Name: request.GetAction(),
			Input: request.GetInput().AsMap(), IdempotencyKey: request.GetIdempotencyKey(),
		})
	})
	if err != nil {
		return nil, call.status(err)
	}
	written, err := protoStruct(output)
	if err != nil {
		return nil, Errorf(Internal, "the action's output cannot be written as JSON").status()
	}
	return &connectorpb.ExecuteResponse{Output: written}, nil
}

func (d *DiscoverResponse) proto() *connectorpb.DiscoverResponse {
	if d == nil {
		return &connectorpb.DiscoverResponse{}
	}
	message := &connectorpb.DiscoverResponse{NextPageToken: readable(d.NextPageToken)}
	for _, resource := range d.Resources {
		message.Resources = append(message.Resources, &connectorpb.Resource{
			Id: readable(resource.ID), Name: readable(resource.Name), Kind: readable(resource.Kind),
			HasChildren: resource.HasChildren, Selectable: resource.Selectable,
		})
	}
	return message
}

func (a *EventAnswer) proto() *connectorpb.HandleEventResponse {
	if a == nil {
		return &connectorpb.HandleEventResponse{}
	}
	message := &connectorpb.HandleEventResponse{
		Verified: a.Verified, ChangedIds: eachReadable(a.ChangedIDs), Scopes: eachReadable(a.Scopes), AllScopes: a.AllScopes,
		RoutingKeys: eachReadable(a.RoutingKeys),
	}
	if a.Answer != nil {
		message.Answer = &connectorpb.HttpAnswer{
			Status: uint32(a.Answer.Status), ContentType: readable(a.Answer.ContentType), Body: a.Answer.Body,
		}
	}
	return message
}
