package connector

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// outlet is the sending half of a pull: one stream of pages, checkpoints and notes, in the order in which they were given
// by all sinks of the pull.
type outlet struct {
	pull      context.Context
	end       context.CancelFunc
	responses chan<- response
	progress  atomic.Pointer[connectorpb.Progress]

	// Held while a response waits for the server, so that two callers cannot send theirs in the wrong order.
	mutex   sync.Mutex
	page    openPage
	listing *listing
	// What ended the pull before the author's code did, such as a breach of the contract.
	failure error
	closed  bool
}

// push adds a change to the open page. After the pull has ended it goes nowhere.
func (o *outlet) push(scope string, change *connectorpb.Change) {
	change, size := fit(change)
	o.mutex.Lock()
	defer o.mutex.Unlock()
	// A full page goes out when the next change comes, so that a checkpoint can still join it.
	if !o.page.hasRoom(scope, size) {
		o.flush()
	}
	if o.closed {
		return
	}
	if o.page.push(scope, change, size) != nil {
		// Texts that are no UTF-8 where nothing looks for them.
		target, _ := check(change)
		change = &connectorpb.Change{Kind: target.itemError(Errorf(Internal, "the item cannot be encoded"))}
		_ = o.page.push(scope, change, proto.Size(change))
	}
	o.noteChange(scope, change)
}

func (o *outlet) noteChange(scope string, change *connectorpb.Change) {
	switch kind := change.Kind.(type) {
	case *connectorpb.Change_Document:
		o.listing.answered(kind.Document.Id)
	case *connectorpb.Change_Raw:
		o.listing.answered(kind.Raw.Id)
	case *connectorpb.Change_Deletion:
		o.listing.answered(kind.Deletion.GetId())
	case *connectorpb.Change_ItemError:
		o.listing.answered(kind.ItemError.GetId())
		if kind.ItemError.Target == nil {
			o.listing.skippedUnnamed(scope)
		}
	}
}

// flush sends the open page. The mutex is held.
func (o *outlet) flush() {
	if page := o.page.take(); page != nil {
		o.send(page)
	}
}

// send waits until the server has room. The mutex is held.
func (o *outlet) send(response response) {
	if o.closed {
		return
	}
	select {
	case o.responses <- response:
	case <-o.pull.Done():
		// Nobody is there to read it.
	}
}

// checkpoint sends a checkpoint with the changes that it covers.
func (o *outlet) checkpoint(scope string, cursor []byte, hasMore bool) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if fault := o.listing.checkCheckpoint(cursor); fault != nil {
		o.breakOff(fault)
		return
	}
	o.sendCheckpoint(scope, &connectorpb.Checkpoint{Cursor: cursor, HasMore: hasMore})
}

func (o *outlet) sendCheckpoint(scope string, checkpoint *connectorpb.Checkpoint) {
	page := o.page.takeWith(scope, checkpoint)
	if page == nil {
		o.flush()
		page = o.page.takeWith(scope, checkpoint)
	}
	o.send(page)
}

// sendInOrder sends what is not a page after the changes given before it.
func (o *outlet) sendInOrder(message *connectorpb.PullResponse) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.flush()
	o.send(encoded(message))
}

func logResponse(level connectorpb.LogRecord_Level, message string) *connectorpb.PullResponse {
	record := &connectorpb.LogRecord{Level: level, Message: clip(message, maxLogBytes)}
	return &connectorpb.PullResponse{Kind: &connectorpb.PullResponse_Log{Log: record}}
}

// note notes something about the listing of a scope; a breach of the contract ends the pull.
func (o *outlet) note(note func(*listing) *Error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if fault := note(o.listing); fault != nil {
		o.breakOff(fault)
	}
}

// fail ends the pull.
func (o *outlet) fail(err error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.breakOff(err)
}

// breakOff remembers why the pull ended: it fails with that, whatever the author makes of its end. What was given before is
// sent, and nothing of what comes later. The mutex is held.
func (o *outlet) breakOff(err error) {
	if o.failure == nil && !o.closed {
		o.flush()
		o.failure, o.closed = err, true
		o.end()
	}
}

// tick sends what would wait for a page to fill; it is called once a second. While the server is behind there is no room,
// and nothing waits for want of a page.
func (o *outlet) tick() {
	if !o.mutex.TryLock() {
		return
	}
	defer o.mutex.Unlock()
	if len(o.responses) == cap(o.responses) {
		return
	}
	// Nobody else sends meanwhile, so neither of these waits.
	if page := o.page.take(); page != nil {
		o.send(page)
	} else if progress := o.progress.Swap(nil); progress != nil {
		o.send(encoded(progressResponse(progress)))
	}
}

// finish comes after the author's code: it sends what is left, then the ends of the listings if it ended well. What a
// goroutine gives that the author left behind goes nowhere.
func (o *outlet) finish(result error) error {
	if result == nil {
		o.answerTheRest()
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.flush()
	if progress := o.progress.Swap(nil); progress != nil {
		o.send(encoded(progressResponse(progress)))
	}
	if o.failure != nil {
		return o.failure
	}
	if result == nil {
		o.sendEnds()
	}
	o.closed = true
	return result
}

// answerTheRest gives an item error for each id of a TARGETED pull that the author said nothing about.
func (o *outlet) answerTheRest() {
	o.mutex.Lock()
	ids := o.listing.takeUnanswered()
	o.mutex.Unlock()
	for _, id := range ids {
		fault := Errorf(Internal, "the connector gave no answer for this id")
		o.push("", &connectorpb.Change{Kind: ByID(id).itemError(fault)})
	}
}

func (o *outlet) sendEnds() {
	for _, end := range o.listing.takeEnds() {
		if end.reason != "" {
			message := fmt.Sprintf("the listing of scope %q is not complete: %s", end.scope, end.reason)
			o.send(encoded(logResponse(connectorpb.LogRecord_LEVEL_WARN, message)))
		}
		// Sent for an incomplete listing too: without it the last checkpoint would go on asking for another pull.
		if end.cursor != nil {
			o.sendCheckpoint(end.scope, &connectorpb.Checkpoint{Cursor: end.cursor, ListingComplete: end.reason == ""})
		}
	}
}

func progressResponse(progress *connectorpb.Progress) *connectorpb.PullResponse {
	return &connectorpb.PullResponse{Kind: &connectorpb.PullResponse_Progress{Progress: progress}}
}
