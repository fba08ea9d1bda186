package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// The domain of every google.rpc.ErrorInfo of this project.
const errorDomain = "connectors.superfasttt"

// status carries all of an error.
func (e *Error) status() error {
	e = e.fits()
	info := reasons[e.Reason]
	metadata := maps.Clone(e.Metadata)
	if e.Code != "" {
		metadata["code"] = e.Code
	}
	if _, ok := metadata["actor"]; !ok {
		metadata["actor"] = info.actor
	}
	plain := status.New(info.code, e.Message)
	detailed, err := plain.WithDetails(&errdetails.ErrorInfo{Reason: string(e.Reason), Domain: errorDomain, Metadata: metadata})
	if err == nil && e.RetryAfter > 0 {
		detailed, err = detailed.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	if err != nil {
		return plain.Err()
	}
	return detailed.Err()
}

// ErrorOfStatus reads what a failed call ended with, nil for none. A status that knows nothing of this contract gets the
// reason that its code suggests.
func ErrorOfStatus(err error) *Error {
	if err == nil {
		return nil
	}
	failed := status.Convert(err)
	read := &Error{Reason: Internal, Message: failed.Message(), Metadata: map[string]string{}}
	switch failed.Code() {
	case codes.Unimplemented:
		read.Reason = Unimplemented
	case codes.Unavailable:
		read.Reason = SourceUnavailable
	case codes.ResourceExhausted:
		read.Reason = RateLimited
	}
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() != errorDomain {
				continue
			}
			read.Reason = Reason(detail.GetReason()).known()
			read.Metadata = detail.GetMetadata()
			read.Code = read.Metadata["code"]
			delete(read.Metadata, "actor")
			delete(read.Metadata, "code")
		case *errdetails.RetryInfo:
			read.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return read
}

// classify finds the reason in what the author's code returned. What has none is INTERNAL with its kind and no value of
// it, because its text may quote data; ok is false then.
func classify(err error) (found *Error, ok bool) {
	if errors.As(err, &found) {
		return found, true
	}
	var reason Reason
	if errors.As(err, &reason) {
		return &Error{Reason: reason, Message: "the connector gave this reason and said no more", Cause: err}, true
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) {
		return &Error{Reason: SourceUnavailable, Message: "the source does not answer", Cause: err}, true
	}
	if errors.Is(err, context.Canceled) {
		return &Error{Reason: SourceUnavailable, Message: "the call was cancelled", Cause: err}, true
	}
	return Errorf(Internal, "the connector's code failed with %s: its log says more", kindOf(err)), false
}

// kindOf names the type at the bottom of an error's wrapping: the others only add text.
func kindOf(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return fmt.Sprintf("%T", err)
		}
		err = inner
	}
}

func violation(format string, args ...any) *Error {
	return Errorf(ProtocolViolation, format, args...)
}

func unimplemented(capability string) *Error {
	return Errorf(Unimplemented, "this connector does not serve %s", capability)
}
