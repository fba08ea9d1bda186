package connector

import (
	"context"
	"time"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// A change waits no longer than this for its page to fill.
const flushEvery = time.Second

func (s *service[S, R]) Pull(request *connectorpb.PullRequest, out connectorpb.Connector_PullServer) error {
	call, err := s.beginCall(out.Context(), "pull", request.GetContractRevision(), request.GetSettings(), request.GetCredential())
	if err != nil {
		return refusal(err)
	}
	defer call.end()
	mode, err := s.checkPull(request)
	if err != nil {
		return call.status(err)
	}
	settings, fault := parseSettings[S](request.GetSettings())
	if fault != nil {
		return fault.status()
	}
	pull := &Pull[S]{
		Settings: settings, Credential: call.credential, HTTP: call.http, Mode: mode,
		Scopes: request.GetScopes(), ExceptScopes: request.GetExceptScopes(), IDs: request.GetIds(),
		CredentialLifetime: request.GetLimits().GetCredentialLifetime().AsDuration(),
		states:             request.GetStates(), stateless: request.GetKnownScopes(),
	}
	send := func(encoded response) error { return out.SendMsg(encoded) }
	return call.status(stream(call.ctx, s.stopping, send, func(ctx context.Context, responses chan<- response) error {
		pulling, end := context.WithCancel(ctx)
		defer end()
		outlet := &outlet{
			pull: pulling, end: end, responses: responses, page: newOpenPage(request.GetLimits()),
			listing: newListing(mode, s.manifest.capabilities.FullListing, request.GetIds()),
		}
		sink := &Sink[R]{&running[R]{
			outlet: outlet, call: call, mode: mode, wantRaw: request.GetWantRaw(), rawSchema: s.rawSchema(),
			normalize: func(item Item[R]) *connectorpb.Change { return s.normalize(call, item, settings) },
		}, ""}
		stopTicks := every(flushEvery, outlet.tick)
		_, err := protect(ctx, func() (struct{}, error) { return struct{}{}, s.connector.Pull(pulling, pull, sink) })
		stopTicks()
		return outlet.finish(err)
	}))
}

// checkPull says whether the manifest and the contract allow this pull.
func (s *service[S, R]) checkPull(request *connectorpb.PullRequest) (Mode, error) {
	served := s.manifest.capabilities
	var mode Mode
	switch request.GetMode() {
	case connectorpb.PullMode_PULL_MODE_FULL:
		mode = Full
	case connectorpb.PullMode_PULL_MODE_INCREMENTAL:
		if !served.Incremental {
			return "", unimplemented("incremental pulls")
		}
		mode = Incremental
	case connectorpb.PullMode_PULL_MODE_LIST:
		if !served.List {
			return "", unimplemented("LIST pulls")
		}
		mode = List
	case connectorpb.PullMode_PULL_MODE_TARGETED:
		if !served.Targeted {
			return "", unimplemented("TARGETED pulls")
		}
		mode = Targeted
	default:
		return "", violation("the pull names no mode")
	}
	if ids := len(request.GetIds()); (mode == Targeted) != (ids > 0) || ids > maxTargetedIDs {
		return "", violation("a TARGETED pull names 1 to %d ids and no other names any: %d", maxTargetedIDs, ids)
	}
	return mode, nil
}

// every calls work again and again until stop is called, which waits for a call that is under way.
func every(period time.Duration, work func()) (stop func()) {
	ticker := time.NewTicker(period)
	asked, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ticker.C:
				work()
			case <-asked:
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(asked)
		<-ended
	}
}
