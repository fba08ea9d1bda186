package connector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// localPull is the stream of a pull that is read in this process.
type localPull struct {
	grpc.ServerStream
	ctx  context.Context
	take func(*connectorpb.PullResponse) error
}

func (p *localPull) Context() context.Context { return p.ctx }

// SendMsg takes what the service has encoded.
func (p *localPull) SendMsg(message any) error {
	decoded, err := message.(response).decode()
	if err != nil {
		return err
	}
	return p.take(decoded)
}

// Send is for the interface only: the service encodes by itself.
func (p *localPull) Send(message *connectorpb.PullResponse) error { return p.take(message) }

// errEnough ends a pull that has brought as much as was wanted.
var errEnough = errors.New("that is enough")

func pull[S, R any](ctx context.Context, connector Connector[S, R], args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("pull", flag.ContinueOnError)
	options := connectionFlags(flags)
	mode := flags.String("mode", "", "")
	limit := flags.Int("limit", 0, "")
	cursorPath := flags.String("cursor", "", "")
	var ids repeated
	flags.Var(&ids, "id", "")
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	service, connection, err := open(ctx, connector, options)
	if err != nil {
		return err
	}
	cursors, err := readCursors(*cursorPath)
	if err != nil {
		return err
	}
	request := &connectorpb.PullRequest{
		Settings: connection.settings, Credential: connection.credential, ContractRevision: contractRevision, Ids: ids,
	}
	if request.Mode, err = cursors.modeOf(*mode, service.manifest.capabilities); err != nil {
		return err
	}
	cursors.resume(request)
	printer := &pullPrinter{
		stdout: stdout, stderr: stderr, asJSON: options.asJSON, mode: request.Mode, limit: *limit,
		cursors: cursors,
		counts:  map[string]int{}, lastCursors: map[string][]byte{}, complete: []string{},
	}
	pulled := service.Pull(request, &localPull{ctx: ctx, take: printer.take})
	var unsent errNotSent
	if errors.As(pulled, &unsent) && unsent.error == errEnough {
		pulled = nil
	}
	if err := printer.finish(); err != nil {
		return err
	}
	if pulled == nil {
		return nil
	}
	failed := ErrorOfStatus(pulled)
	if options.asJSON {
		told := map[string]any{"reason": failed.Reason, "message": failed.Message, "code": failed.Code}
		if err := writeJSON(stdout, map[string]any{"error": told}); err != nil {
			return err
		}
	}
	return failed
}

// pullPrinter tells what a pull brings.
type pullPrinter struct {
	stdout, stderr io.Writer
	asJSON         bool
	mode           connectorpb.PullMode
	limit          int
	cursors        *cursorFile
	counts         map[string]int
	given          int
	lastCursors    map[string][]byte
	complete       []string
}

func (p *pullPrinter) take(response *connectorpb.PullResponse) error {
	switch kind := response.Kind.(type) {
	case *connectorpb.PullResponse_Page:
		return p.page(kind.Page)
	case *connectorpb.PullResponse_Progress:
		fmt.Fprintf(p.stderr, "… %d items %s\n", kind.Progress.GetItemsSeen(), kind.Progress.GetMessage())
		return nil
	default:
		if p.asJSON {
			return writeProto(p.stdout, response)
		}
		text, err := protojson.Marshal(response)
		fmt.Fprintf(p.stderr, "%s\n", compact(text))
		return err
	}
}

func (p *pullPrinter) page(page *connectorpb.Page) error {
	for _, change := range page.GetChanges() {
		if err := p.change(change); err != nil {
			return err
		}
		if p.given++; p.given == p.limit {
			return errEnough
		}
	}
	checkpoint := page.GetCheckpoint()
	if checkpoint == nil {
		return nil
	}
	p.lastCursors[page.GetScope()] = checkpoint.GetCursor()
	if checkpoint.GetListingComplete() {
		p.complete = append(p.complete, page.GetScope())
	}
	return p.cursors.keep(p.mode, page.GetScope(), checkpoint)
}

func (p *pullPrinter) change(change *connectorpb.Change) error {
	kind, line := describeChange(change)
	p.counts[kind]++
	if p.asJSON {
		return writeProto(p.stdout, change)
	}
	_, err := fmt.Fprintln(p.stdout, line)
	return err
}

func describeChange(change *connectorpb.Change) (kind, line string) {
	switch kind := change.Kind.(type) {
	case *connectorpb.Change_Document:
		return "document", "+ " + kind.Document.GetId() + "  " + kind.Document.GetTitle()
	case *connectorpb.Change_Raw:
		return "raw item", "+ " + kind.Raw.GetId() + "  " + kind.Raw.GetSchema()
	case *connectorpb.Change_Present:
		return "present", "= " + kind.Present.GetId() + "  " + kind.Present.GetVersion()
	case *connectorpb.Change_Permissions:
		return "permissions change", "% " + kind.Permissions.GetId() + "  " + kind.Permissions.GetPermissions().GetVisibility()
	case *connectorpb.Change_Deletion:
		return "deletion", "- " + kind.Deletion.GetId() + kind.Deletion.GetLocator()
	case *connectorpb.Change_Container:
		return "container", "/ " + kind.Container.GetId() + "  " + kind.Container.GetName()
	}
	failed := change.GetItemError()
	return "item error", "! " + failed.GetId() + failed.GetLocator() + "  " + ErrorOfProto(failed.GetError()).Error()
}

func (p *pullPrinter) finish() error {
	if p.asJSON {
		cursors := map[string]string{}
		for scope, cursor := range p.lastCursors {
			cursors[scope] = string(cursor)
		}
		return writeJSON(p.stdout, map[string]any{"summary": map[string]any{"counts": p.counts, "cursors": cursors, "complete": p.complete}})
	}
	for _, kind := range slices.Sorted(maps.Keys(p.counts)) {
		fmt.Fprintln(p.stdout, plural(p.counts[kind], kind))
	}
	for _, scope := range slices.Sorted(maps.Keys(p.lastCursors)) {
		end := ""
		if slices.Contains(p.complete, scope) {
			end = ", the listing is complete"
		}
		fmt.Fprintf(p.stdout, "cursor of scope %q: %q%s\n", scope, p.lastCursors[scope], end)
	}
	return nil
}

func writeProto(to io.Writer, message proto.Message) error {
	text, err := protojson.Marshal(message)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(to, "%s\n", compact(text))
	return err
}

// compact takes away the spaces that protojson adds at random, so that nobody depends on its text.
func compact(text []byte) []byte {
	var short bytes.Buffer
	if json.Compact(&short, text) != nil {
		return text
	}
	return short.Bytes()
}

func writeJSON(to io.Writer, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(to, "%s\n", text)
	return err
}
