package connector

import (
	"context"
	"regexp"

	"google.golang.org/grpc/metadata"
)

type traceKey struct{}

// A W3C traceparent: version, trace id, parent id and flags. Later versions may add parts.
var traceparent = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$`)

// TraceParent is where in a trace the server's call stands, as the value of a traceparent header; empty where the server
// makes no traces. The SDK's HTTP client hands it on by itself.
func TraceParent(ctx context.Context) string {
	trace, _ := ctx.Value(traceKey{}).(string)
	return trace
}

// withTrace takes the trace of a call from its metadata. What is no traceparent is left out.
func withTrace(ctx context.Context) context.Context {
	values := metadata.ValueFromIncomingContext(ctx, "traceparent")
	if len(values) != 1 || !isTraceparent(values[0]) {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, values[0])
}

func isTraceparent(text string) bool {
	parts := traceparent.FindStringSubmatch(text)
	if parts == nil {
		return false
	}
	version, traceID, parentID, rest := parts[1], parts[2], parts[3], parts[4]
	known := version != "ff" && (version != "00" || rest == "")
	return known && !allZero(traceID) && !allZero(parentID)
}

func allZero(digits string) bool {
	for _, digit := range digits {
		if digit != '0' {
			return false
		}
	}
	return true
}
