package connector

import (
	"maps"
	"slices"
)

// listing is what was said of each scope in one pull: which mode allows what, and whether a listing was complete. A
// listing's end is held back until the author's code has ended well: only then is it sure that nothing was left out.
type listing struct {
	mode        Mode
	fullListing bool
	scopes      map[string]*scopeRecord
	// The ids of a TARGETED pull that nothing was said about yet.
	unanswered map[string]bool
}

type scopeRecord struct {
	// Items that failed without a name: any document might be one of them.
	skippedUnnamed int
	// A scope error, or the scope's removal.
	stopped bool
	// The cursor of the listing's end, once the author has declared it.
	end []byte
}

// A listingEnd says how the listing of a scope ended. Without a reason it is complete: what was not named is gone.
// With one, nothing may be taken as gone; the cursor still says that the listing goes no further, unless an error stopped
// the scope before.
type listingEnd struct {
	scope  string
	cursor []byte
	reason string
}

func newListing(mode Mode, fullListing bool, ids []string) *listing {
	begun := &listing{mode: mode, fullListing: fullListing, scopes: map[string]*scopeRecord{}, unanswered: map[string]bool{}}
	for _, id := range ids {
		begun.unanswered[id] = true
	}
	return begun
}

// checkCheckpoint says whether the mode and the contract allow this checkpoint.
func (l *listing) checkCheckpoint(cursor []byte) *Error {
	if l.mode == Targeted {
		return violation("a checkpoint was made in a TARGETED pull, which has none")
	}
	if len(cursor) == 0 || len(cursor) > maxCursorBytes {
		return violation("a cursor of %d bytes was given; it has 1 to %d bytes, more than that means more scopes", len(cursor), maxCursorBytes)
	}
	return nil
}

func (l *listing) checkPresent() *Error {
	if !l.mode.IsListing() {
		return violation("Present was called outside FULL and LIST, where it says nothing")
	}
	return nil
}

// declareEnd notes that the author has named everything in a scope.
func (l *listing) declareEnd(scope string, cursor []byte) *Error {
	if fault := l.checkCheckpoint(cursor); fault != nil {
		return fault
	}
	if !l.mode.IsListing() {
		return violation("a listing was completed outside FULL and LIST")
	}
	if !l.fullListing {
		return violation("a listing was completed and the manifest does not declare full_listing")
	}
	l.record(scope).end = cursor
	return nil
}

func (l *listing) skippedUnnamed(scope string) { l.record(scope).skippedUnnamed++ }

func (l *listing) stopped(scope string) { l.record(scope).stopped = true }

func (l *listing) answered(id string) { delete(l.unanswered, id) }

// takeUnanswered gives the ids that the author said nothing about.
func (l *listing) takeUnanswered() []string {
	ids := slices.Sorted(maps.Keys(l.unanswered))
	clear(l.unanswered)
	return ids
}

// takeEnds says how each listing ended whose end the author declared.
func (l *listing) takeEnds() []listingEnd {
	var ends []listingEnd
	for _, scope := range slices.Sorted(maps.Keys(l.scopes)) {
		record := l.scopes[scope]
		switch {
		case record.end == nil:
		case record.stopped:
			ends = append(ends, listingEnd{scope: scope, reason: "the scope ended with an error"})
		case record.skippedUnnamed > 0:
			ends = append(ends, listingEnd{scope, record.end, plural(record.skippedUnnamed, "item") + " could not be read and not be named"})
		default:
			ends = append(ends, listingEnd{scope: scope, cursor: record.end})
		}
	}
	clear(l.scopes)
	return ends
}

func (l *listing) record(scope string) *scopeRecord {
	record := l.scopes[scope]
	if record == nil {
		record = &scopeRecord{}
		l.scopes[scope] = record
	}
	return record
}
