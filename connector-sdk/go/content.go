package connector

import (
	"context"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// The largest chunk that is sent; longer writes are split.
const maxChunkBytes = 512 * 1024

// ContentWriter takes the header and then the bytes of one document. It is an io.Writer.
type ContentWriter struct {
	ctx        context.Context
	responses  chan<- *connectorpb.FetchContentResponse
	maxBytes   uint64
	headerSent bool
	announced  *uint64
	sent       uint64
}

// ContentHeader says what the bytes are.
type ContentHeader struct {
	// MediaType wins over the document's. Empty: as there.
	MediaType string
	// Length is how many bytes follow. nil: not known.
	Length *uint64
	// Version is the one that is served. Empty: the source has none.
	Version string
}

// Header says what the bytes are: once, before them. CONTENT_TOO_LARGE where the length is over what the server takes:
// nothing needs to be read then. Return the error.
func (w *ContentWriter) Header(header ContentHeader) error {
	if w.headerSent {
		return violation("the header of a document's bytes was given after its first message")
	}
	if header.Length != nil {
		if err := w.checkSize(*header.Length); err != nil {
			return err
		}
	}
	w.headerSent, w.announced = true, header.Length
	message := &connectorpb.ContentHeader{MediaType: readable(header.MediaType), LengthBytes: header.Length, Version: readable(header.Version)}
	return w.send(&connectorpb.FetchContentResponse{Kind: &connectorpb.FetchContentResponse_Header{Header: message}})
}

// Write takes bytes of any length, and keeps none of them. Without a header before them an empty one is sent.
// CONTENT_TOO_LARGE where more was written than the server takes. Return the error.
func (w *ContentWriter) Write(bytes []byte) (int, error) {
	if err := w.ensureHeader(); err != nil {
		return 0, err
	}
	w.sent += uint64(len(bytes))
	if err := w.checkSize(w.sent); err != nil {
		return 0, err
	}
	written := 0
	for written < len(bytes) {
		// Copied, because a writer may not hold on to what it was given, and the chunk waits for the server.
		chunk := append([]byte(nil), bytes[written:min(len(bytes), written+maxChunkBytes)]...)
		if err := w.send(&connectorpb.FetchContentResponse{Kind: &connectorpb.FetchContentResponse_Chunk{Chunk: chunk}}); err != nil {
			return written, err
		}
		written += len(chunk)
	}
	return written, nil
}

// finish comes after the author's code: a document without bytes still has a header, and a length is kept.
func (w *ContentWriter) finish() error {
	if err := w.ensureHeader(); err != nil {
		return err
	}
	if w.announced != nil && *w.announced != w.sent {
		return Errorf(Internal, "%d bytes were announced and %d were given", *w.announced, w.sent)
	}
	return nil
}

func (w *ContentWriter) ensureHeader() error {
	if w.headerSent {
		return nil
	}
	return w.Header(ContentHeader{})
}

func (w *ContentWriter) checkSize(size uint64) error {
	if w.maxBytes > 0 && size > w.maxBytes {
		return Errorf(ContentTooLarge, "the document has %d bytes or more and at most %d are taken", size, w.maxBytes)
	}
	return nil
}

func (w *ContentWriter) send(response *connectorpb.FetchContentResponse) error {
	select {
	case w.responses <- response:
		return nil
	case <-w.ctx.Done():
		return Errorf(SourceUnavailable, "nobody reads the document's bytes any more")
	}
}
