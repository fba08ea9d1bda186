package connector

import (
	"encoding/json"
	"errors"
	"io"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

const defaultRawSchema = "item/1"

// Normalize answers each raw item that the server kept, one for one and in order.
func (s *service[S, R]) Normalize(items connectorpb.Connector_NormalizeServer) error {
	var call *call
	var settings S
	for {
		request, err := items.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-s.stopping:
			return errStopping.status()
		default:
		}
		start, raw := request.GetStart(), request.GetRaw()
		switch {
		case start != nil && call == nil:
			if call, err = s.beginCall(items.Context(), "normalize", start.GetContractRevision(), start.GetSettings(), nil); err != nil {
				return refusal(err)
			}
			defer call.end()
			var fault *Error
			if settings, fault = parseSettings[S](start.GetSettings()); fault != nil {
				return fault.status()
			}
		case raw != nil && call != nil:
			if err := items.Send(s.normalizeKept(call, raw, settings)); err != nil {
				return err
			}
		default:
			return violation("the first message of Normalize carries start, only that one, and every later one a raw item").status()
		}
	}
}

func (s *service[S, R]) normalizeKept(call *call, raw *connectorpb.RawItem, settings S) *connectorpb.NormalizeResponse {
	item := Item[R]{ID: raw.GetId(), Version: raw.GetVersion(), ContentRef: raw.GetContentRef()}
	decoded, err := protect(call.ctx, func() (R, error) { return s.decode(raw.GetSchema(), raw.GetData()) })
	var change *connectorpb.Change
	if err != nil {
		change = &connectorpb.Change{Kind: ByID(item.ID).itemError(call.fault(err))}
	} else {
		item.Raw = decoded
		change, _ = fit(s.normalize(call, item, settings))
	}
	if document := change.GetDocument(); document != nil {
		return &connectorpb.NormalizeResponse{Kind: &connectorpb.NormalizeResponse_Document{Document: document}}
	}
	return &connectorpb.NormalizeResponse{Kind: &connectorpb.NormalizeResponse_ItemError{ItemError: change.GetItemError()}}
}

// normalize is the envelope of an item, or the item error that says why there is none.
func (s *service[S, R]) normalize(call *call, item Item[R], settings S) *connectorpb.Change {
	document, err := protect(call.ctx, func() (*Document, error) { return s.connector.Normalize(item, settings) })
	if err == nil && document == nil {
		err = Errorf(Internal, "Normalize gave neither a document nor an error")
	}
	var envelope *connectorpb.DocumentEnvelope
	if err == nil {
		envelope, err = document.envelope()
	}
	if err != nil {
		return &connectorpb.Change{Kind: ByID(item.ID).itemError(call.fault(err))}
	}
	envelope.Id, envelope.Version, envelope.ContentRef = item.ID, readable(item.Version), item.ContentRef
	return &connectorpb.Change{Kind: &connectorpb.Change_Document{Document: envelope}}
}

func (s *service[S, R]) rawSchema() string {
	if schemer, ok := s.connector.(RawSchemer); ok {
		return schemer.RawSchema()
	}
	return defaultRawSchema
}

func (s *service[S, R]) decode(schema string, data []byte) (raw R, err error) {
	if decoder, ok := s.connector.(RawDecoder[R]); ok {
		return decoder.DecodeRaw(schema, data)
	}
	if schema != s.rawSchema() {
		return raw, Errorf(Internal, "the item was kept as schema %q and this connector reads %q: pull it again", schema, s.rawSchema())
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		// The parser's own message may quote the data.
		return raw, Errorf(Internal, "the kept item does not parse (%s)", kindOf(err))
	}
	return raw, nil
}
