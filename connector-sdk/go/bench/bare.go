package main

import (
	"fmt"
	"net"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// perPage makes two pages to a checkpoint, each about as large as those of the SDK.
const perPage = 500

// bare is what an author would write without an SDK, and nothing that a connector has to do beside.
type bare struct {
	connectorpb.UnimplementedConnectorServer
}

func (bare) Pull(request *connectorpb.PullRequest, out connectorpb.Connector_PullServer) error {
	documents := int(request.GetSettings().GetFields()["documents"].GetNumberValue())
	for first := 1; first <= documents; first += perPage {
		page, err := pageOf(first, min(first+perPage-1, documents))
		if err != nil {
			return err
		}
		if err := out.Send(&connectorpb.PullResponse{Kind: &connectorpb.PullResponse_Page{Page: page}}); err != nil {
			return err
		}
	}
	return nil
}

func pageOf(first, last int) (*connectorpb.Page, error) {
	page := &connectorpb.Page{Changes: make([]*connectorpb.Change, 0, perPage)}
	for number := first; number <= last; number++ {
		envelope, err := envelopeOf(number)
		if err != nil {
			return nil, err
		}
		page.Changes = append(page.Changes, &connectorpb.Change{Kind: &connectorpb.Change_Document{Document: envelope}})
	}
	if last%perCheckpoint == 0 {
		page.Checkpoint = &connectorpb.Checkpoint{Cursor: []byte(strconv.Itoa(last)), HasMore: true}
	}
	return page, nil
}

func envelopeOf(number int) (*connectorpb.DocumentEnvelope, error) {
	document := documentOf(number)
	metadata, err := structpb.NewStruct(document.Metadata)
	if err != nil {
		return nil, err
	}
	permissions := document.Permissions
	return &connectorpb.DocumentEnvelope{
		Id:          identifier(number),
		Version:     "1",
		Title:       document.Title,
		Content:     document.Content,
		Url:         document.URL,
		Metadata:    metadata,
		MediaType:   document.MediaType,
		Permissions: &connectorpb.Permissions{Visibility: string(permissions.Visibility), Allow: permissions.Allow},
		CreatedAt:   timestamppb.New(document.CreatedAt),
		UpdatedAt:   timestamppb.New(document.UpdatedAt),
	}, nil
}

// serveBare serves until the process is killed.
func serveBare(socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	connectorpb.RegisterConnectorServer(server, bare{})
	fmt.Println(socket)
	return server.Serve(listener)
}
