package connector

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

const (
	defaultPageBytes   = 1024 * 1024
	defaultPageChanges = 500
)

// openPage is the changes of one scope that wait for their page to be full.
type openPage struct {
	maxBytes, maxChanges int
	scope                string
	changes              []*connectorpb.Change
	bytes                int
}

// newOpenPage takes the limits of a request. Whatever it asks, a page stays under 4 MiB with its scope and cursor.
func newOpenPage(limits *connectorpb.PullLimits) openPage {
	maxBytes, maxChanges := int(limits.GetMaxPageBytes()), int(limits.GetMaxPageChanges())
	if maxBytes == 0 {
		maxBytes = defaultPageBytes
	}
	if maxChanges == 0 {
		maxChanges = defaultPageChanges
	}
	// The scope's name is part of the page.
	return openPage{maxBytes: min(maxBytes, maxChangeBytes) - maxIDBytes - 8, maxChanges: maxChanges}
}

// hasRoom says whether a change of this encoded size can join. An empty page takes any, because a change over the page's
// limit still has to travel.
func (p *openPage) hasRoom(scope string, size int) bool {
	return len(p.changes) == 0 ||
		p.scope == scope && len(p.changes) < p.maxChanges && p.bytes+framedLen(size) <= p.maxBytes
}

// push adds a change that hasRoom said yes to.
func (p *openPage) push(scope string, change *connectorpb.Change, size int) {
	p.scope = scope
	p.changes = append(p.changes, change)
	p.bytes += framedLen(size)
}

// take gives what is there as a page, nil where nothing is.
func (p *openPage) take() *connectorpb.Page {
	if len(p.changes) == 0 {
		return nil
	}
	page := &connectorpb.Page{Scope: p.scope, Changes: p.changes}
	// The next page will likely hold as many: one allocation instead of a doubling series.
	p.changes = make([]*connectorpb.Change, 0, len(page.Changes))
	p.bytes = 0
	return page
}

// takeWith gives what is there as the page that carries a checkpoint, nil while changes of another scope have to go first.
func (p *openPage) takeWith(scope string, checkpoint *connectorpb.Checkpoint) *connectorpb.Page {
	if len(p.changes) > 0 && p.scope != scope {
		return nil
	}
	page := p.take()
	if page == nil {
		page = &connectorpb.Page{Scope: scope}
	}
	page.Checkpoint = checkpoint
	return page
}

// framedLen is what a change adds to its page: field number, length, and itself.
func framedLen(size int) int { return 1 + protowire.SizeBytes(size) }
