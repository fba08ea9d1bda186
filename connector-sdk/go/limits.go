package connector

import (
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// The limits that the contract sets, in bytes where nothing else is said. They are checked before anything is sent: what
// breaks one becomes an item error, so that one bad item never ends a pull.
const (
	// Ids and scopes, versions, parents.
	maxIDBytes = 1024
	// Inline text, and the data of a raw item.
	maxInlineBytes = 1024 * 1024
	maxCursorBytes = 64 * 1024
	// One change. Pages stay under 4 MiB with room for their scope and cursor.
	maxChangeBytes = 3 * 1024 * 1024
	// Lines of a run's log.
	maxLogBytes        = 4 * 1024
	maxTitleBytes      = 4096
	maxLocatorBytes    = 4096
	maxURLBytes        = 8 * 1024
	maxContentRefBytes = 8 * 1024
	maxMediaTypeBytes  = 255
	maxSchemaBytes     = 255
	maxPrincipalBytes  = 1024
	maxMetadataBytes   = 64 * 1024
	maxMetadataDepth   = 16
	maxErrorBytes      = 2 * 1024
	maxErrorFacts      = 16
	maxErrorFactBytes  = 256
	maxCodeBytes       = 128
)

// fit is what the contract takes of a change: itself, or the item error that tells what is wrong with it. With its encoded
// size, which pages are filled by.
func fit(change *connectorpb.Change) (*connectorpb.Change, int) {
	target, fault := check(change)
	if fault == nil {
		size := proto.Size(change)
		// Metadata is no longer than its change, and hardly ever near its limit.
		if metadata := change.GetDocument().GetMetadata(); isDeeper(structpb.NewStructValue(metadata), maxMetadataDepth) {
			fault = Errorf(ContentTooLarge, "the item's metadata is nested over %d levels deep", maxMetadataDepth).WithMetadata("field", "metadata")
		} else if size > maxMetadataBytes {
			fault = sizeFault("metadata", proto.Size(change.GetDocument().GetMetadata()), maxMetadataBytes)
		}
		if fault == nil && size <= maxChangeBytes {
			return change, size
		}
	}
	if fault == nil {
		fault = Errorf(ContentTooLarge, "the item is more than %d bytes encoded, which is all that is sent", maxChangeBytes)
	}
	change = &connectorpb.Change{Kind: target.itemError(fault)}
	return change, proto.Size(change)
}

// isDeeper says whether more than so many objects and lists lie inside one another. Readers of protobuf give up on what is
// nested deeply, and on the whole page with it.
func isDeeper(value *structpb.Value, levels int) bool {
	object, list := value.GetStructValue(), value.GetListValue()
	if object == nil && list == nil {
		return false
	}
	if levels == 0 {
		return true
	}
	for _, inner := range object.GetFields() {
		if isDeeper(inner, levels-1) {
			return true
		}
	}
	for _, inner := range list.GetValues() {
		if isDeeper(inner, levels-1) {
			return true
		}
	}
	return false
}

// check cuts titles, and gives the fault of a change with how an item error can name its item.
func check(change *connectorpb.Change) (Target, *Error) {
	switch kind := change.Kind.(type) {
	case *connectorpb.Change_Document:
		document := kind.Document
		document.Title = clip(document.Title, maxTitleBytes)
		target := ByID(document.Id)
		if !target.mayName() {
			target = ByLocator(document.Locator)
		}
		return target, documentFault(document)
	case *connectorpb.Change_Raw:
		return ByID(kind.Raw.Id), rawFault(kind.Raw)
	case *connectorpb.Change_Present:
		return ByID(kind.Present.Id), first(idFault(kind.Present.Id), sizeFault("version", len(kind.Present.Version), maxIDBytes))
	case *connectorpb.Change_Permissions:
		return ByID(kind.Permissions.Id), first(idFault(kind.Permissions.Id), permissionsFault(kind.Permissions.Permissions))
	case *connectorpb.Change_Container:
		container := kind.Container
		container.Name = clip(container.Name, maxTitleBytes)
		return ByID(container.Id), first(idFault(container.Id),
			keyFault("parent_id", container.ParentId, maxIDBytes), keyFault("locator", container.Locator, maxLocatorBytes))
	case *connectorpb.Change_Deletion:
		target := Target{id: kind.Deletion.GetId(), locator: kind.Deletion.GetLocator()}
		if !target.mayName() {
			return Target{}, violation("a deletion names nothing that the contract takes as an id or locator")
		}
	}
	return Target{}, nil
}

func documentFault(document *connectorpb.DocumentEnvelope) *Error {
	if size := len(document.GetContent()); size > maxInlineBytes {
		return Errorf(ContentTooLarge, "the text is %d bytes and at most %d are sent inline: the connector's author must give "+
			"a content reference and serve fetch_content", size, maxInlineBytes)
	}
	return first(idFault(document.Id),
		sizeFault("version", len(document.Version), maxIDBytes),
		keyFault("content_ref", document.ContentRef, maxContentRefBytes),
		keyFault("parent_id", document.ParentId, maxIDBytes),
		keyFault("locator", document.Locator, maxLocatorBytes),
		sizeFault("url", len(document.Url), maxURLBytes),
		sizeFault("media_type", len(document.MediaType), maxMediaTypeBytes),
		permissionsFault(document.Permissions))
}

func rawFault(raw *connectorpb.RawItem) *Error {
	return first(idFault(raw.Id),
		sizeFault("version", len(raw.Version), maxIDBytes),
		keyFault("content_ref", raw.ContentRef, maxContentRefBytes),
		sizeFault("raw schema", len(raw.Schema), maxSchemaBytes),
		sizeFault("raw data", len(raw.Data), maxInlineBytes))
}

func permissionsFault(permissions *connectorpb.Permissions) *Error {
	for _, principals := range [][]string{permissions.GetAllow(), permissions.GetDeny()} {
		for _, principal := range principals {
			if fault := sizeFault("principal", len(principal), maxPrincipalBytes); fault != nil {
				return fault
			}
		}
	}
	return nil
}

func idFault(id string) *Error {
	if id == "" {
		return violation("the item has no id")
	}
	return keyFault("id", id, maxIDBytes)
}

// keyFault is that of a text which has to come back as it was given, so nothing of it can be cut or replaced.
func keyFault(field, text string, limit int) *Error {
	if !utf8.ValidString(text) {
		return violation("the item's %s is not UTF-8", field).WithMetadata("field", field)
	}
	return sizeFault(field, len(text), limit)
}

func sizeFault(field string, size, limit int) *Error {
	if size <= limit {
		return nil
	}
	return Errorf(ContentTooLarge, "the item's %s is %d bytes and at most %d are taken", field, size, limit).WithMetadata("field", field)
}

func first(faults ...*Error) *Error {
	for _, fault := range faults {
		if fault != nil {
			return fault
		}
	}
	return nil
}

// clip cuts a text to at most limit bytes, at a character, and makes it UTF-8.
func clip(text string, limit int) string {
	text = readable(text)
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
