package connector

import (
	"encoding/json"
	"log/slog"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// Sink takes the changes of one scope of one pull. It starts with the scope "" of a source that has only one; Scope gives
// the sink of another. All sinks of a pull share one stream, in the order of the calls, and may be used by several
// goroutines.
//
// Every method waits while the server is behind. None returns an error: when the pull has ended, because the server went away
// or the contract was broken, what is given goes nowhere and the context of the pull is done. Code that does not wait for
// anything else looks at it now and then.
type Sink[R any] struct {
	pull  *running[R]
	scope string
}

// running is one pull, in all its scopes.
type running[R any] struct {
	outlet    *outlet
	call      *call
	mode      Mode
	wantRaw   bool
	rawSchema string
	normalize func(Item[R]) *connectorpb.Change
}

// Scope is the sink of another scope (a drive, a site, a channel) of the same pull. A name over 1,024 bytes is a
// PROTOCOL_VIOLATION.
func (s *Sink[R]) Scope(name string) *Sink[R] {
	if fault := keyFault("scope", name, maxIDBytes); fault != nil {
		s.pull.outlet.fail(violation("%s", fault.Message))
	}
	return &Sink[R]{s.pull, name}
}

// Document gives a document as the source has it now. Where the server keeps raw items it gets the item itself, in a LIST
// its id and version only, else what Normalize makes of it.
func (s *Sink[R]) Document(item Item[R]) {
	switch {
	case s.pull.outlet.pull.Err() != nil:
		// It has ended, so nothing needs to be made of it.
	case s.pull.mode == List:
		s.push(present(item.ID, item.Version))
	case s.pull.wantRaw:
		s.push(rawChange(item, s.pull.rawSchema))
	default:
		s.push(s.pull.normalize(item))
	}
}

// Present says that the document exists at this version, and nothing else. FULL and LIST only.
func (s *Sink[R]) Present(id, version string) {
	s.pull.outlet.note((*listing).checkPresent)
	s.push(present(id, version))
}

// Permissions gives the permissions of a document alone. Left out of a LIST.
func (s *Sink[R]) Permissions(id string, permissions Permissions) {
	change := &connectorpb.PermissionsChange{Id: id, Permissions: permissions.proto()}
	s.pushBesideList(&connectorpb.Change{Kind: &connectorpb.Change_Permissions{Permissions: change}})
}

// Deletion says that the source reported something gone from this scope. Left out of a LIST.
func (s *Sink[R]) Deletion(target Target) {
	s.pushBesideList(&connectorpb.Change{Kind: &connectorpb.Change_Deletion{Deletion: target.deletion()}})
}

// Container gives a folder, or whatever else holds documents. Left out of a LIST.
func (s *Sink[R]) Container(container Container) {
	message := &connectorpb.Container{Id: container.ID, ParentId: container.ParentID, Name: readable(container.Name), Locator: container.Locator}
	s.pushBesideList(&connectorpb.Change{Kind: &connectorpb.Change_Container{Container: message}})
}

// ItemError says that this item could not be read: it (and with WithDescendants what is under it) takes no part in deletion
// by absence, and the pull goes on.
func (s *Sink[R]) ItemError(target Target, err error) {
	s.push(&connectorpb.Change{Kind: target.itemError(s.pull.call.fault(err))})
}

// UnnamedError says that something could not be read and cannot even be named: nothing in this scope is deleted by absence
// now.
func (s *Sink[R]) UnnamedError(err error) { s.ItemError(Target{}, err) }

// Answer gives what came of reading one id of a TARGETED pull: the document, a deletion where err is NOT_FOUND, an item error
// where it is another that an item may have. What concerns the whole connection ends the pull.
func (s *Sink[R]) Answer(id string, item Item[R], err error) {
	if err == nil {
		s.Document(item)
		return
	}
	failed, _ := classify(err)
	switch failed.Reason {
	case NotFound:
		s.Deletion(ByID(id))
	case AccessDenied, ContentTooLarge, ContentUnreadable, PermissionsUnknown, Internal:
		s.ItemError(ByID(id), err)
	default:
		s.pull.outlet.fail(err)
	}
}

// Checkpoint says: everything given so far for this scope is covered by this cursor. The next pull starts from it. With
// hasMore the scope is pulled again at once after this pull ends; without, it is caught up.
//
// In a TARGETED pull, and with a cursor that is empty or over 64 KiB, it is a PROTOCOL_VIOLATION.
func (s *Sink[R]) Checkpoint(cursor []byte, hasMore bool) {
	s.pull.outlet.checkpoint(s.scope, cursor, hasMore)
}

// CompleteListing says: everything in this scope has been named since its listing began; the cursor is where the next
// INCREMENTAL starts. It is sent when Pull has returned nil, and left out when something could not be named or the scope had
// an error, because then absence proves nothing.
//
// Outside FULL and LIST, and without the capability full_listing, it is a PROTOCOL_VIOLATION.
func (s *Sink[R]) CompleteListing(cursor []byte) {
	s.pull.outlet.note(func(listing *listing) *Error { return listing.declareEnd(s.scope, cursor) })
}

// ScopeError says that this scope stops here; the others go on. CURSOR_INVALID makes the server list the scope in full.
func (s *Sink[R]) ScopeError(err error) {
	failed := &connectorpb.ScopeError{Scope: s.scope, Error: s.pull.call.fault(err).fits().proto()}
	s.stop(&connectorpb.PullResponse{Kind: &connectorpb.PullResponse_ScopeError{ScopeError: failed}})
}

// A RemovalCause says why a scope is gone.
type RemovalCause string

// The causes of the contract.
const (
	// Gone: it no longer exists in the source.
	Gone RemovalCause = "GONE"
	// AccessLost: the account may no longer read it.
	AccessLost RemovalCause = "ACCESS_LOST"
	// Deselected: the settings no longer choose it.
	Deselected RemovalCause = "DESELECTED"
)

// ScopeRemoved says that this scope is gone, closed to the account, or no longer chosen. Its documents are deleted.
func (s *Sink[R]) ScopeRemoved(cause RemovalCause) {
	reason, ok := connectorpb.ScopeRemoved_Cause_value["CAUSE_"+string(cause)]
	if !ok {
		s.pull.outlet.fail(violation("a scope was removed for a cause that the contract does not have"))
		return
	}
	removed := &connectorpb.ScopeRemoved{Scope: s.scope, Reason: connectorpb.ScopeRemoved_Cause(reason)}
	s.stop(&connectorpb.PullResponse{Kind: &connectorpb.PullResponse_ScopeRemoved{ScopeRemoved: removed}})
}

// Progress says how far the pull is; 0 for a count that is not known. It is sent at most once a second, so it may be called
// for each item.
func (s *Sink[R]) Progress(itemsSeen, itemsTotal uint64, message string) {
	message = clip(s.pull.call.secrets.Redact(message), maxLogBytes)
	s.pull.outlet.progress.Store(&connectorpb.Progress{ItemsSeen: itemsSeen, ItemsTotal: itemsTotal, Message: message})
}

// Log writes a line to the run's log. Without secrets.
func (s *Sink[R]) Log(level slog.Level, message string) {
	s.pull.outlet.sendInOrder(logResponse(protoLevel(level), s.pull.call.secrets.Redact(message)))
}

// JSONCursor is a cursor written as JSON, for Checkpoint and CompleteListing; Pull.CursorJSON reads it. It panics for a
// value that encoding/json does not write.
func JSONCursor(value any) []byte {
	cursor, err := json.Marshal(value)
	if err != nil {
		panic("a cursor that cannot be written as JSON: " + err.Error())
	}
	return cursor
}

func (s *Sink[R]) stop(response *connectorpb.PullResponse) {
	s.pull.outlet.note(func(listing *listing) *Error { listing.stopped(s.scope); return nil })
	s.pull.outlet.sendInOrder(response)
}

func (s *Sink[R]) push(change *connectorpb.Change) { s.pull.outlet.push(s.scope, change) }

func (s *Sink[R]) pushBesideList(change *connectorpb.Change) {
	if s.pull.mode == List {
		return
	}
	s.push(change)
}

func present(id, version string) *connectorpb.Change {
	message := &connectorpb.Present{Id: id, Version: readable(version)}
	return &connectorpb.Change{Kind: &connectorpb.Change_Present{Present: message}}
}

// rawChange is the item as it is kept, or the item error that says why it cannot be.
func rawChange[R any](item Item[R], schema string) *connectorpb.Change {
	data, err := json.Marshal(item.Raw)
	if err != nil {
		fault := Errorf(Internal, "the raw item cannot be written as JSON")
		return &connectorpb.Change{Kind: ByID(item.ID).itemError(fault)}
	}
	raw := &connectorpb.RawItem{Id: item.ID, Version: readable(item.Version), ContentRef: item.ContentRef, Schema: schema, Data: data}
	return &connectorpb.Change{Kind: &connectorpb.Change_Raw{Raw: raw}}
}

func protoLevel(level slog.Level) connectorpb.LogRecord_Level {
	switch {
	case level < slog.LevelInfo:
		return connectorpb.LogRecord_LEVEL_DEBUG
	case level < slog.LevelWarn:
		return connectorpb.LogRecord_LEVEL_INFO
	case level < slog.LevelError:
		return connectorpb.LogRecord_LEVEL_WARN
	default:
		return connectorpb.LogRecord_LEVEL_ERROR
	}
}
