package connector

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// cursorFile is what --cursor keeps between runs, by scope.
type cursorFile struct {
	path   string
	Scopes map[string]keptCursor `json:"scopes"`
}

type keptCursor struct {
	Cursor []byte `json:"cursor"`
	// Listing says that it is one of a listing that has not come to its end.
	Listing bool `json:"listing"`
}

// readCursors reads the file; without a path nothing is kept.
func readCursors(path string) (*cursorFile, error) {
	kept := &cursorFile{path: path, Scopes: map[string]keptCursor{}}
	if path == "" {
		return kept, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	}
	if err != nil {
		return nil, errUsage{err}
	}
	if err := json.Unmarshal(text, kept); err != nil || kept.Scopes == nil {
		return nil, errUsage{fmt.Errorf("%s is not a file that --cursor wrote", path)}
	}
	return kept, nil
}

// isListing says whether a listing is to be gone on with.
func (c *cursorFile) isListing() bool {
	for _, kept := range c.Scopes {
		if kept.Listing {
			return true
		}
	}
	return false
}

// modeOf is the mode that was asked for; else incremental where that has something to go on from, else full.
func (c *cursorFile) modeOf(word string, served *connectorpb.Capabilities) (connectorpb.PullMode, error) {
	if word == "" {
		if len(c.Scopes) > 0 && !c.isListing() && served.GetIncremental() {
			return connectorpb.PullMode_PULL_MODE_INCREMENTAL, nil
		}
		return connectorpb.PullMode_PULL_MODE_FULL, nil
	}
	mode := Mode(strings.ToUpper(word)).proto()
	if mode == connectorpb.PullMode_PULL_MODE_UNSPECIFIED {
		return mode, errUsage{fmt.Errorf("--mode is full, incremental, list or targeted, not %q", word)}
	}
	return mode, nil
}

// resume has a pull go on from the cursors: an incremental one from those of finished listings, a full one from those of a
// listing under way, without the scopes that it has finished.
func (c *cursorFile) resume(request *connectorpb.PullRequest) {
	full := request.GetMode() == connectorpb.PullMode_PULL_MODE_FULL
	if !full && request.GetMode() != connectorpb.PullMode_PULL_MODE_INCREMENTAL {
		return
	}
	for _, scope := range slices.Sorted(maps.Keys(c.Scopes)) {
		kept := c.Scopes[scope]
		switch {
		case kept.Listing == full:
			request.States = append(request.States, &connectorpb.ScopeState{Scope: scope, Cursor: kept.Cursor})
		case full && c.isListing():
			request.ExceptScopes = append(request.ExceptScopes, scope)
		}
	}
}

// keep writes the file whole, beside the old one, so that a crash leaves one of them.
func (c *cursorFile) keep(mode connectorpb.PullMode, scope string, checkpoint *connectorpb.Checkpoint) error {
	if c.path == "" || mode == connectorpb.PullMode_PULL_MODE_LIST {
		return nil
	}
	listing := mode == connectorpb.PullMode_PULL_MODE_FULL && checkpoint.GetHasMore()
	c.Scopes[scope] = keptCursor{checkpoint.GetCursor(), listing}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.path+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(c.path+".new", c.path)
}
