// Measures a pull through the SDK beside a bare gRPC stream of the same messages: `go run ./bench`, which ends by itself.
//
// Both go over a Unix socket to a client in this process that reads and throws away. The bare server builds the same
// envelopes by hand and sends the same pages.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/superfasttt/connectors/connector-sdk/go"
	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

const (
	documents = 200_000
	pageSize  = 500
	rounds    = 5
	token     = "token"
)

var body = strings.Repeat("What happened in this issue. ", 20)

type record struct {
	Number int
	Body   string
}

// ledger gives records that it makes up.
type ledger struct{}

func (ledger) Manifest() string { return `{"id": "ledger", "sync": {"mode": "full"}}` }

func (ledger) Pull(ctx context.Context, _ *connector.Pull[struct{}], sink *connector.Sink[record]) error {
	for number := 1; number <= documents && ctx.Err() == nil; number++ {
		sink.Document(connector.Item[record]{ID: fmt.Sprint(number), Version: "1", Raw: record{number, body}})
		if number%pageSize == 0 {
			sink.Checkpoint([]byte(fmt.Sprint(number)), true)
		}
	}
	return nil
}

func (ledger) Normalize(item connector.Item[record], _ struct{}) (*connector.Document, error) {
	return &connector.Document{
		Title: "Issue " + item.ID, Content: &item.Raw.Body, URL: "https://tracker.example/issues/" + item.ID,
		Metadata:    map[string]any{"owner": "anna", "size": len(item.Raw.Body)},
		Permissions: &connector.Permissions{Visibility: connector.Organization},
	}, nil
}

// bare sends the same without the SDK.
type bare struct {
	connectorpb.UnimplementedConnectorServer
}

func (bare) Pull(_ *connectorpb.PullRequest, out connectorpb.Connector_PullServer) error {
	for number := 1; number <= documents; number += pageSize {
		page := &connectorpb.Page{Changes: make([]*connectorpb.Change, 0, pageSize)}
		for number := number; number < min(number+pageSize, documents+1) && len(page.Changes) < pageSize; number++ {
			id, text := fmt.Sprint(number), body
			page.Changes = append(page.Changes, &connectorpb.Change{Kind: &connectorpb.Change_Document{Document: &connectorpb.DocumentEnvelope{
				Id: id, Version: "1", Title: "Issue " + id, Content: &text, Url: "https://tracker.example/issues/" + id,
				Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
					"owner": structpb.NewStringValue("anna"), "size": structpb.NewNumberValue(float64(len(body))),
				}},
				Permissions: &connectorpb.Permissions{Visibility: "organization"},
			}}})
		}
		page.Checkpoint = &connectorpb.Checkpoint{Cursor: []byte(fmt.Sprint(number + pageSize - 1)), HasMore: true}
		if err := out.Send(&connectorpb.PullResponse{Kind: &connectorpb.PullResponse_Page{Page: page}}); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	folder, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	sdkSocket, bareSocket := filepath.Join(folder, "sdk"), filepath.Join(folder, "bare")
	sdkListener, err := net.Listen("unix", sdkSocket)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- connector.ServeListener(ctx, ledger{}, sdkListener, token) }()
	bareListener, err := net.Listen("unix", bareSocket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	connectorpb.RegisterConnectorServer(server, bare{})
	// It ends with Stop, which is no error.
	go func() { _ = server.Serve(bareListener) }()
	defer server.Stop()

	// One after the other in each round, so that what else the machine does slows both.
	rates := map[string][]float64{}
	for range rounds {
		for name, socket := range map[string]string{"sdk": sdkSocket, "bare": bareSocket} {
			rate, err := pull(ctx, socket)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			rates[name] = append(rates[name], rate)
		}
	}
	sdk, plain := median(rates["sdk"]), median(rates["bare"])
	fmt.Printf("through the SDK   %8.0f documents/s\nbare gRPC stream  %8.0f documents/s\nratio             %8.2f\n", sdk, plain, sdk/plain)
	stop()
	return <-ended
}

// pull reads everything and says how many documents came in a second.
func pull(ctx context.Context, socket string) (float64, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	begun := time.Now()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	request := &connectorpb.PullRequest{Mode: connectorpb.PullMode_PULL_MODE_FULL, ContractRevision: 1}
	stream, err := connectorpb.NewConnectorClient(conn).Pull(ctx, request, grpc.WaitForReady(true))
	if err != nil {
		return 0, err
	}
	count := 0
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		count += len(response.GetPage().GetChanges())
	}
	if count != documents {
		return 0, fmt.Errorf("%d documents came, not %d", count, documents)
	}
	return documents / time.Since(begun).Seconds(), nil
}

func median(rates []float64) float64 {
	slices.Sort(rates)
	return rates[len(rates)/2]
}
