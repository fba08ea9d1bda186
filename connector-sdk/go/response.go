package connector

import (
	"bytes"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	protobuf "google.golang.org/protobuf/proto"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// response is one message of a pull as it is sent, in parts that stand one behind the other.
type response [][]byte

// encoded is a message that is no page. All texts in it are made readable before, so that it is always encoded.
func encoded(message *connectorpb.PullResponse) response {
	text, _ := protobuf.Marshal(message)
	return response{text}
}

func (r response) decode() (*connectorpb.PullResponse, error) {
	message := &connectorpb.PullResponse{}
	return message, protobuf.Unmarshal(bytes.Join(r, nil), message)
}

// codec writes messages as ever, and sends what is encoded already as it is.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

func (c codec) Marshal(message any) (mem.BufferSlice, error) {
	parts, ok := message.(response)
	if !ok {
		return c.CodecV2.Marshal(message)
	}
	buffers := make(mem.BufferSlice, 0, len(parts))
	for _, part := range parts {
		if len(part) > 0 {
			buffers = append(buffers, mem.SliceBuffer(part))
		}
	}
	return buffers, nil
}
