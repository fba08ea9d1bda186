package connector

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// How many messages wait for the server at most. Few, so that a slow server holds the author's code back and not the memory.
const messagesWaiting = 4

// errStopping tells the server to call again.
var errStopping = Errorf(SourceUnavailable, "the connector is stopping: call again")

// errDied is all that travels of a panic, whose text may quote data. The log has it.
var errDied = Errorf(Internal, "the connector's code panicked: its log says where")

// protect runs the author's code and makes an error of a panic.
func protect[T any](ctx context.Context, work func() (T, error)) (result T, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			slog.ErrorContext(ctx, "the connector's code panicked", "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			err = errDied
		}
	}()
	return work()
}

// answer runs the author's code of a unary call. It returns early where the server goes away or the process stops: code that
// does not heed its context holds up nobody.
func answer[T any](ctx context.Context, stopping <-chan struct{}, work func(context.Context) (T, error)) (T, error) {
	type outcome struct {
		result T
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan outcome, 1)
	go func() {
		// Kept where the author's code ends its goroutine without a panic.
		last := outcome{err: errDied}
		defer func() { done <- last }()
		last.result, last.err = protect(ctx, func() (T, error) { return work(ctx) })
	}()
	var none T
	select {
	case last := <-done:
		return last.result, last.err
	case <-stopping:
		return none, errStopping
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// errNotSent is no fault of the author's code: the server has gone away.
type errNotSent struct{ error }

// stream runs the author's code of a streaming call and sends what it gives. Sending is this goroutine's alone, so that
// nothing is sent after it has returned.
func stream[M any](ctx context.Context, stopping <-chan struct{}, send func(M) error, work func(context.Context, chan<- M) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	messages := make(chan M, messagesWaiting)
	done := make(chan error, 1)
	go func() {
		last := error(errDied)
		defer func() { done <- last }()
		_, last = protect(ctx, func() (struct{}, error) { return struct{}{}, work(ctx, messages) })
	}()
	for {
		select {
		case message := <-messages:
			if err := send(message); err != nil {
				return errNotSent{err}
			}
		case last := <-done:
			return sendRest(messages, send, last)
		case <-stopping:
			return errStopping
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sendRest sends what the ended work has left in the channel, and gives its error after that.
func sendRest[M any](messages <-chan M, send func(M) error, last error) error {
	for {
		select {
		case message := <-messages:
			if err := send(message); err != nil {
				return errNotSent{err}
			}
		default:
			return last
		}
	}
}
