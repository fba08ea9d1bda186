package connector

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

var errStalled = errors.New("nothing came for a long time")

// guardStall sends a request and gives up where nothing comes for so long, also in the middle of the body.
func guardStall(network http.RoundTripper, request *http.Request, patience time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	timer := time.AfterFunc(patience, func() { cancel(errStalled) })
	response, err := network.RoundTrip(request.WithContext(ctx))
	timer.Stop()
	if err != nil {
		if errors.Is(context.Cause(ctx), errStalled) {
			err = errStalled
		}
		cancel(nil)
		return nil, err
	}
	response.Body = &guardedBody{response.Body, request, ctx, cancel, timer, patience}
	return response, nil
}

// guardedBody gives errors in the middle of a body their reason.
type guardedBody struct {
	io.ReadCloser
	request *http.Request
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	// How long one read may take.
	patience time.Duration
}

func (b *guardedBody) Read(into []byte) (int, error) {
	b.timer.Reset(b.patience)
	count, err := b.ReadCloser.Read(into)
	b.timer.Stop()
	switch {
	case err == nil || err == io.EOF:
	case b.request.Context().Err() != nil:
		err = b.request.Context().Err()
	case errors.Is(context.Cause(b.ctx), errStalled):
		err = Errorf(SourceUnavailable, "%s stopped in the middle: %w", describe(b.request), errStalled)
	default:
		err = Errorf(SourceUnavailable, "%s broke off in the middle: %w", describe(b.request), err)
	}
	return count, err
}

func (b *guardedBody) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
