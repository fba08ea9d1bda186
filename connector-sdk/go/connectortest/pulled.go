package connectortest

import (
	"github.com/superfasttt/connectors/connector-sdk/go"
	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// Pulled is everything that a pull brought, in order.
type Pulled struct {
	// Responses are the messages of the stream.
	Responses []*connectorpb.PullResponse
	// Err is what it ended with; nil where it ended well.
	Err *connector.Error
}

// Checkpoint is one with its scope.
type Checkpoint struct {
	Scope string
	*connectorpb.Checkpoint
}

// Pages in order.
func (p *Pulled) Pages() []*connectorpb.Page {
	return gather(p.Responses, (*connectorpb.PullResponse).GetPage)
}

// Changes of all pages.
func (p *Pulled) Changes() []*connectorpb.Change {
	var changes []*connectorpb.Change
	for _, page := range p.Pages() {
		changes = append(changes, page.GetChanges()...)
	}
	return changes
}

// Documents are the envelopes.
func (p *Pulled) Documents() []*connectorpb.DocumentEnvelope {
	return gather(p.Changes(), (*connectorpb.Change).GetDocument)
}

// RawItems are what came in their place.
func (p *Pulled) RawItems() []*connectorpb.RawItem {
	return gather(p.Changes(), (*connectorpb.Change).GetRaw)
}

// Deletions that the source reported.
func (p *Pulled) Deletions() []*connectorpb.Deletion {
	return gather(p.Changes(), (*connectorpb.Change).GetDeletion)
}

// ItemErrors are the items that failed.
func (p *Pulled) ItemErrors() []*connectorpb.ItemError {
	return gather(p.Changes(), (*connectorpb.Change).GetItemError)
}

// Checkpoints with their scopes.
func (p *Pulled) Checkpoints() []Checkpoint {
	var checkpoints []Checkpoint
	for _, page := range p.Pages() {
		if page.GetCheckpoint() != nil {
			checkpoints = append(checkpoints, Checkpoint{page.GetScope(), page.GetCheckpoint()})
		}
	}
	return checkpoints
}

// States are the cursors of the last checkpoints, for the request of a pull that goes on from them.
func (p *Pulled) States() []*connectorpb.ScopeState {
	var states []*connectorpb.ScopeState
	at := map[string]*connectorpb.ScopeState{}
	for _, checkpoint := range p.Checkpoints() {
		if at[checkpoint.Scope] == nil {
			at[checkpoint.Scope] = &connectorpb.ScopeState{Scope: checkpoint.Scope}
			states = append(states, at[checkpoint.Scope])
		}
		at[checkpoint.Scope].Cursor = checkpoint.GetCursor()
	}
	return states
}

// Logs are the lines for the run's log.
func (p *Pulled) Logs() []string {
	var lines []string
	for _, record := range gather(p.Responses, (*connectorpb.PullResponse).GetLog) {
		lines = append(lines, record.GetMessage())
	}
	return lines
}

// gather keeps those that have what is asked for.
func gather[From, To any](from []*From, get func(*From) *To) []*To {
	var found []*To
	for _, one := range from {
		if part := get(one); part != nil {
			found = append(found, part)
		}
	}
	return found
}
