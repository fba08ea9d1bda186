package connector

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

const (
	defaultPageBytes   = 1024 * 1024
	defaultPageChanges = 500

	// The field numbers that a page is written with.
	responsePage   protowire.Number = 1
	pageScope      protowire.Number = 1
	pageChanges    protowire.Number = 2
	pageCheckpoint protowire.Number = 3
)

// openPage is the changes of one scope that wait for their page to be full. Each is encoded when it comes, so that its size
// is worked out once and nothing of it is kept but its bytes.
type openPage struct {
	maxBytes, maxChanges int
	scope                string
	count                int
	changes              []byte
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
	return p.count == 0 ||
		p.scope == scope && p.count < p.maxChanges && len(p.changes)+protowire.SizeTag(pageChanges)+protowire.SizeBytes(size) <= p.maxBytes
}

// push adds a change that hasRoom said yes to, or nothing where it cannot be encoded. Its size has just been worked out, which
// encoding makes use of.
func (p *openPage) push(scope string, change *connectorpb.Change, size int) error {
	changes := protowire.AppendTag(p.changes, pageChanges, protowire.BytesType)
	changes = protowire.AppendVarint(changes, uint64(size))
	changes, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(changes, change)
	if err != nil {
		return err
	}
	p.scope, p.changes = scope, changes
	p.count++
	return nil
}

// take gives what is there as a page, nil where nothing is.
func (p *openPage) take() response {
	if p.count == 0 {
		return nil
	}
	return p.close(p.scope, nil)
}

// takeWith gives what is there as the page that carries a checkpoint, nil while changes of another scope have to go first.
func (p *openPage) takeWith(scope string, checkpoint *connectorpb.Checkpoint) response {
	if p.count > 0 && p.scope != scope {
		return nil
	}
	// A checkpoint has bytes and flags only, which are always encoded.
	encoded, _ := proto.Marshal(checkpoint)
	return p.close(scope, encoded)
}

func (p *openPage) close(scope string, checkpoint []byte) response {
	begin := protowire.AppendTag(nil, pageScope, protowire.BytesType)
	begin = protowire.AppendString(begin, scope)
	var end []byte
	if checkpoint != nil {
		end = protowire.AppendTag(end, pageCheckpoint, protowire.BytesType)
		end = protowire.AppendBytes(end, checkpoint)
	}
	frame := protowire.AppendTag(nil, responsePage, protowire.BytesType)
	frame = protowire.AppendVarint(frame, uint64(len(begin)+len(p.changes)+len(end)))
	page := response{append(frame, begin...), p.changes, end}
	// The next page will likely be as long: one allocation instead of a doubling series.
	p.changes, p.count = make([]byte, 0, len(p.changes)+len(p.changes)/8), 0
	return page
}
