package connector_test

import (
	"context"
	"log/slog"
	"os"
	"testing"

	"github.com/superfasttt/connectors/connector-sdk/go"
)

const everything = `{"id": "fake", "version": "1.2", "auth": {"type": "api_key"}, "sync": {"mode": "incremental"},
	"capabilities": ["full_listing", "list", "targeted"], "allowed_hosts": ["127.0.0.1"],
	"settings": {"type": "object", "properties": {"pin": {"type": "string", "x-secret": true}}}}`

type settings struct {
	Root  string `json:"root"`
	Limit int    `json:"limit"`
	Pin   string `json:"pin"`
}

type thing struct {
	Title string `json:"title"`
}

type (
	pulling = *connector.Pull[settings]
	sinking = *connector.Sink[thing]
)

// fake is a connector of a test's own functions.
type fake struct {
	manifest  string
	pull      func(ctx context.Context, pull pulling, sink sinking) error
	normalize func(item connector.Item[thing]) (*connector.Document, error)
}

func (f fake) Manifest() string {
	if f.manifest == "" {
		return everything
	}
	return f.manifest
}

func (f fake) Pull(ctx context.Context, pull *connector.Pull[settings], sink *connector.Sink[thing]) error {
	if f.pull == nil {
		return nil
	}
	return f.pull(ctx, pull, sink)
}

func (f fake) Normalize(item connector.Item[thing], _ settings) (*connector.Document, error) {
	if f.normalize == nil {
		return &connector.Document{Title: item.Raw.Title}, nil
	}
	return f.normalize(item)
}

// gives is a fake that gives to the sink and ends well.
func gives(give func(sink sinking)) fake {
	return fake{pull: func(_ context.Context, _ pulling, sink sinking) error {
		give(sink)
		return nil
	}}
}

func item(id, title string) connector.Item[thing] {
	return connector.Item[thing]{ID: id, Version: "v-" + id, Raw: thing{title}}
}

// The test's binary is also a connector's program, so that it can be run as a process.
func TestMain(tests *testing.M) {
	if os.Getenv("BE_A_CONNECTOR") != "" {
		connector.Serve(endless)
	}
	// What the tests' authors do wrong on purpose.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(tests.Run())
}
