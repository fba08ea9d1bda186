package connector

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
	"github.com/superfasttt/connectors/connector-sdk/go/internal/ratelimit"
)

// manifest is what the SDK reads of manifest.json. The server checks all of it.
type manifest struct {
	text           string
	ID             string            `json:"id"`
	Name           string            `json:"name"`
	Version        string            `json:"version"`
	Auth           manifestAuth      `json:"auth"`
	Sync           manifestSync      `json:"sync"`
	CapabilityList []string          `json:"capabilities"`
	Settings       json.RawMessage   `json:"settings"`
	AllowedHosts   []string          `json:"allowed_hosts"`
	RateLimits     []ratelimit.Limit `json:"rate_limits"`

	capabilities *connectorpb.Capabilities
	settings     map[string]any
}

type manifestAuth struct {
	Type   string          `json:"type"`
	Fields []manifestField `json:"fields"`
}

type manifestField struct {
	Name string `json:"name"`
	// nil: true.
	Secret *bool `json:"secret"`
}

func (f manifestField) isSecret() bool { return f.Secret == nil || *f.Secret }

type manifestSync struct {
	Mode string `json:"mode"`
}

// The words of the manifest's capabilities, in the contract's order.
var knownCapabilities = []string{"incremental", "full_listing", "list", "targeted", "discover", "fetch_content", "handle_event", "execute"}

// readManifest says what the author must mend where it cannot be served.
func readManifest(text string) (*manifest, error) {
	read := &manifest{text: text}
	if err := json.Unmarshal([]byte(text), read); err != nil {
		return nil, fmt.Errorf("the connector's author must mend manifest.json: %w", err)
	}
	if read.ID == "" {
		return nil, fmt.Errorf("the connector's author must mend manifest.json: it has no id")
	}
	for index, name := range read.CapabilityList {
		if !slices.Contains(knownCapabilities, name) {
			return nil, fmt.Errorf("the connector's author must mend manifest.json: capabilities[%d] is %q; the contract knows %s",
				index, name, strings.Join(knownCapabilities, ", "))
		}
	}
	if len(read.Settings) > 0 {
		if err := json.Unmarshal(read.Settings, &read.settings); err != nil {
			return nil, fmt.Errorf("the connector's author must mend manifest.json: settings is no JSON object")
		}
	}
	has := func(name string) bool { return slices.Contains(read.CapabilityList, name) }
	read.capabilities = &connectorpb.Capabilities{
		// As the server reads it: an incremental sync mode is the capability.
		Incremental:  has("incremental") || read.Sync.Mode == "incremental",
		FullListing:  has("full_listing"),
		List:         has("list"),
		Targeted:     has("targeted"),
		Discover:     has("discover"),
		FetchContent: has("fetch_content"),
		HandleEvent:  has("handle_event"),
		Execute:      has("execute"),
	}
	return read, nil
}

// missingMethods are those that the manifest promises and the connector does not have.
func missingMethods[S, R any](connector Connector[S, R], served *connectorpb.Capabilities) []string {
	var missing []string
	need := func(promised bool, has bool, capability, method string) {
		if promised && !has {
			missing = append(missing, fmt.Sprintf("manifest.json declares %s and the connector has no method %s", capability, method))
		}
	}
	_, discovers := connector.(Discoverer)
	_, fetches := connector.(ContentFetcher[S])
	_, handles := connector.(EventHandler[S])
	_, executes := connector.(Executor[S])
	need(served.Discover, discovers, "discover", "Discover(context.Context, *connector.DiscoverRequest) (*connector.DiscoverResponse, error)")
	need(served.FetchContent, fetches, "fetch_content", "FetchContent(context.Context, *connector.FetchRequest[S], *connector.ContentWriter) error")
	need(served.HandleEvent, handles, "handle_event", "HandleEvent(context.Context, *connector.Event[S]) (*connector.EventAnswer, error)")
	need(served.Execute, executes, "execute", "Execute(context.Context, *connector.Action[S]) (map[string]any, error)")
	return missing
}
