package connector

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Below debug, as CONNECTOR_LOG knows it.
const levelTrace = slog.LevelDebug - 4

// logTo sends what slog is given (and with it what package log is given) to a writer, a line each that begins with its
// level, without the secrets of running calls. connectord adds the time.
func logTo(writer io.Writer) {
	handler := slog.NewTextHandler(levelFirst{runningSecrets.Writer(writer)}, &slog.HandlerOptions{
		Level: logLevel(os.Getenv("CONNECTOR_LOG")),
		ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
			switch {
			case len(groups) > 0:
			case attr.Key == slog.TimeKey:
				return slog.Attr{}
			case attr.Key == slog.LevelKey && attr.Value.Any() == levelTrace:
				return slog.String(slog.LevelKey, "TRACE")
			}
			return attr
		},
	})
	slog.SetDefault(slog.New(callHandler{handler}))
}

func logLevel(word string) slog.Level {
	switch strings.ToLower(word) {
	case "error":
		return slog.LevelError
	case "warn":
		return slog.LevelWarn
	case "debug":
		return slog.LevelDebug
	case "trace":
		return levelTrace
	}
	return slog.LevelInfo
}

// levelFirst takes away the words level= that a text handler begins its lines with.
type levelFirst struct{ to io.Writer }

func (w levelFirst) Write(line []byte) (int, error) {
	if _, err := w.to.Write(bytes.TrimPrefix(line, []byte("level="))); err != nil {
		return 0, err
	}
	return len(line), nil
}

// callHandler adds the call that a line is about, where it was logged with the call's context.
type callHandler struct{ slog.Handler }

func (h callHandler) Handle(ctx context.Context, record slog.Record) error {
	if call, ok := ctx.Value(callKey{}).(callInfo); ok {
		record.AddAttrs(slog.String("rpc", call.rpc))
	}
	if trace := TraceParent(ctx); trace != "" {
		record.AddAttrs(slog.String("trace_id", strings.Split(trace, "-")[1]))
	}
	return h.Handler.Handle(ctx, record)
}

func (h callHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return callHandler{h.Handler.WithAttrs(attrs)}
}

func (h callHandler) WithGroup(name string) slog.Handler {
	return callHandler{h.Handler.WithGroup(name)}
}
