package connector

import "github.com/superfasttt/connectors/connector-sdk/go/connectorpb"

// Item is an item as the source gave it, with what the server needs to know before anything is made of it.
type Item[R any] struct {
	// ID is the source's own stable identifier, unique within a connection, 1 to 1,024 bytes of UTF-8.
	ID string
	// Version is the source's etag or revision; content is fetched again when it differs. Empty: the source has none.
	Version string
	// ContentRef is what FetchContent needs to read this item's bytes. Empty: there is nothing to fetch.
	ContentRef string
	// Raw is what Normalize makes the document of.
	Raw R
}

// Target is what a deletion or an item error is about.
type Target struct {
	id, locator     string
	withDescendants bool
}

// ByID names the document or container of this id.
func ByID(id string) Target { return Target{id: id} }

// ByLocator names the document or container of this locator, for sources that name them by path.
func ByLocator(locator string) Target { return Target{locator: locator} }

// WithDescendants adds everything under it.
func (t Target) WithDescendants() Target {
	t.withDescendants = true
	return t
}

func (t Target) deletion() *connectorpb.Deletion {
	deletion := &connectorpb.Deletion{WithDescendants: t.withDescendants}
	switch {
	case t.id != "":
		deletion.Target = &connectorpb.Deletion_Id{Id: t.id}
	case t.locator != "":
		deletion.Target = &connectorpb.Deletion_Locator{Locator: t.locator}
	}
	return deletion
}

// mayName says whether the contract takes it as a name.
func (t Target) mayName() bool {
	return idFault(t.id) == nil || t.id == "" && t.locator != "" && keyFault("locator", t.locator, maxLocatorBytes) == nil
}

// itemError is the change that says the target could not be read. A target that cannot be named is left out.
func (t Target) itemError(err *Error) *connectorpb.Change_ItemError {
	message := &connectorpb.ItemError{Error: err.fits().proto(), WithDescendants: t.withDescendants}
	switch {
	case !t.mayName():
	case t.id != "":
		message.Target = &connectorpb.ItemError_Id{Id: t.id}
	default:
		message.Target = &connectorpb.ItemError_Locator{Locator: t.locator}
	}
	return &connectorpb.Change_ItemError{ItemError: message}
}
