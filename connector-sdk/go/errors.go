package connector

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// Reason says why something could not be done. It decides what the server does about it; docs/errors has a page for each.
// It is an error itself, so that errors.Is(err, connector.NotFound) asks for it.
type Reason string

// The reasons of the contract. The list is closed.
const (
	CredentialExpired  Reason = "CREDENTIAL_EXPIRED"
	CredentialRevoked  Reason = "CREDENTIAL_REVOKED"
	ScopeMissing       Reason = "SCOPE_MISSING"
	AccessDenied       Reason = "ACCESS_DENIED"
	NotFound           Reason = "NOT_FOUND"
	RateLimited        Reason = "RATE_LIMITED"
	QuotaExhausted     Reason = "QUOTA_EXHAUSTED"
	CursorInvalid      Reason = "CURSOR_INVALID"
	PaginationLoop     Reason = "PAGINATION_LOOP"
	NoProgress         Reason = "NO_PROGRESS"
	SettingsInvalid    Reason = "SETTINGS_INVALID"
	SourceUnavailable  Reason = "SOURCE_UNAVAILABLE"
	ContentTooLarge    Reason = "CONTENT_TOO_LARGE"
	ContentUnreadable  Reason = "CONTENT_UNREADABLE"
	PermissionsUnknown Reason = "PERMISSIONS_UNKNOWN"
	ConnectorCrashed   Reason = "CONNECTOR_CRASHED"
	ProtocolViolation  Reason = "PROTOCOL_VIOLATION"
	Internal           Reason = "INTERNAL"
	TooManyItemErrors  Reason = "TOO_MANY_ITEM_ERRORS"
	Unimplemented      Reason = "UNIMPLEMENTED"
)

// Error makes a reason alone an error, one without a message of its own.
func (r Reason) Error() string { return string(r) }

// Error is a failure with its reason.
type Error struct {
	// Reason says why.
	Reason Reason
	// Message says what happened, for a person: a lower-case fragment, no secrets.
	Message string
	// Code is the connector's own stable code below the reason, such as "notes.too_old"; empty for none.
	Code string
	// Metadata is more facts for a program; never secrets.
	Metadata map[string]string
	// RetryAfter says how long to wait before trying again; 0 where that is not known.
	RetryAfter time.Duration
	// Cause is kept for errors.Is and errors.As in the author's own code. It is never sent.
	Cause error
}

// Errorf makes an error of a reason. As with fmt.Errorf, %w keeps a cause.
func Errorf(reason Reason, format string, args ...any) *Error {
	formatted := fmt.Errorf(format, args...)
	return &Error{Reason: reason, Message: formatted.Error(), Cause: errors.Unwrap(formatted)}
}

// WithCode adds the connector's own code below the reason.
func (e *Error) WithCode(code string) *Error {
	changed := *e
	changed.Code = code
	return &changed
}

// WithMetadata adds one fact for a program.
func (e *Error) WithMetadata(key, value string) *Error {
	changed := *e
	changed.Metadata = maps.Clone(e.Metadata)
	if changed.Metadata == nil {
		changed.Metadata = map[string]string{}
	}
	changed.Metadata[key] = value
	return &changed
}

// WithRetryAfter says how long to wait.
func (e *Error) WithRetryAfter(wait time.Duration) *Error {
	changed := *e
	changed.RetryAfter = wait
	return &changed
}

// Error is the reason and the message.
func (e *Error) Error() string { return string(e.Reason) + ": " + e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is says yes to the error's reason.
func (e *Error) Is(target error) bool {
	reason, ok := target.(Reason)
	return ok && reason == e.Reason
}

// What holds for every error of one reason: the gRPC code that it travels under, and who must act.
type reasonInfo struct {
	code  codes.Code
	actor string
}

var reasons = map[Reason]reasonInfo{
	CredentialExpired:  {codes.Unauthenticated, "nobody"},
	CredentialRevoked:  {codes.Unauthenticated, "user"},
	ScopeMissing:       {codes.PermissionDenied, "user"},
	AccessDenied:       {codes.PermissionDenied, "admin"},
	NotFound:           {codes.NotFound, "user"},
	RateLimited:        {codes.ResourceExhausted, "nobody"},
	QuotaExhausted:     {codes.ResourceExhausted, "nobody"},
	CursorInvalid:      {codes.OutOfRange, "nobody"},
	PaginationLoop:     {codes.Internal, "author"},
	NoProgress:         {codes.Aborted, "author"},
	SettingsInvalid:    {codes.InvalidArgument, "user"},
	SourceUnavailable:  {codes.Unavailable, "nobody"},
	ContentTooLarge:    {codes.FailedPrecondition, "user"},
	ContentUnreadable:  {codes.FailedPrecondition, "user"},
	PermissionsUnknown: {codes.FailedPrecondition, "nobody"},
	ConnectorCrashed:   {codes.Unavailable, "author"},
	ProtocolViolation:  {codes.Internal, "author"},
	Internal:           {codes.Internal, "author"},
	TooManyItemErrors:  {codes.Aborted, "user"},
	Unimplemented:      {codes.Unimplemented, "nobody"},
}

// known is the reason itself, or INTERNAL for one that the contract does not have.
func (r Reason) known() Reason {
	if _, ok := reasons[r]; ok {
		return r
	}
	return Internal
}

func (r Reason) proto() connectorpb.Reason {
	return connectorpb.Reason(connectorpb.Reason_value["REASON_"+string(r.known())])
}

func reasonOfProto(reason connectorpb.Reason) Reason {
	name, ok := connectorpb.Reason_name[int32(reason)]
	if !ok {
		return Internal
	}
	return Reason(name[len("REASON_"):]).known()
}

// fits is the error within the sizes that the contract sets and that HTTP/2 headers can carry.
func (e *Error) fits() *Error {
	fitting := *e
	fitting.Reason = e.Reason.known()
	fitting.Message = clip(e.Message, maxErrorBytes)
	fitting.Code = clip(e.Code, maxCodeBytes)
	fitting.Metadata = make(map[string]string, len(e.Metadata))
	keys := slices.Sorted(maps.Keys(e.Metadata))
	for _, key := range keys[:min(len(keys), maxErrorFacts)] {
		fitting.Metadata[clip(key, maxErrorFactBytes)] = clip(e.Metadata[key], maxErrorFactBytes)
	}
	return &fitting
}

// proto is the message for one item or scope, sent inside a stream.
func (e *Error) proto() *connectorpb.Error {
	return &connectorpb.Error{Reason: e.Reason.proto(), Message: e.Message, Code: e.Code, Metadata: e.Metadata}
}

// ErrorOfProto reads the message for one item or scope. An unknown reason is INTERNAL.
func ErrorOfProto(message *connectorpb.Error) *Error {
	return &Error{
		Reason:   reasonOfProto(message.GetReason()),
		Message:  message.GetMessage(),
		Code:     message.GetCode(),
		Metadata: message.GetMetadata(),
	}
}
