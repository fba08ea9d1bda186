package connector

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

const (
	maxReceivedBytes = 16 * 1024 * 1024
	maxSentBytes     = 4 * 1024 * 1024
	// After a signal, calls get this long to end. The process then has the rest of two seconds.
	stopWithin = time.Second
	// What the collector takes for live memory, beside what is. A connector keeps next to nothing, so without it memory
	// would be collected after every 4 MiB of documents, which took a third of a pull's processor time. Raising GOGC
	// instead would cost a connector that keeps much a multiple of that; this costs each the same. With more than this,
	// memory grows through so many small pulls before the first collection that it looks like a leak.
	ballastBytes = 4 * 1024 * 1024
)

// Serve is the whole main of a connector: what connectord calls, and the tool of its author. It ends the process.
func Serve[S, R any](connector Connector[S, R]) {
	os.Exit(runCommand(connector, os.Args, os.Stdout, os.Stderr))
}

// serveFromEnvironment is what connectord starts.
func serveFromEnvironment[S, R any](connector Connector[S, R], stderr *os.File) int {
	socket, token := os.Getenv("CONNECTOR_SOCKET"), os.Getenv("CONNECTOR_TOKEN")
	for _, name := range []string{"CONNECTOR_SOCKET", "CONNECTOR_TOKEN"} {
		if os.Getenv(name) == "" {
			fmt.Fprintf(stderr, "this program is a connector: connectord starts it with CONNECTOR_SOCKET and CONNECTOR_TOKEN set, and %s "+
				"is not. Put its folder under the server's --connectors-dir, or run it with help\n", name)
			return 2
		}
	}
	logTo(stderr)
	// What an author prints by habit is a log line too.
	os.Stdout = stderr
	// Never touched, so no page of it is ever there.
	ballast := make([]byte, ballastBytes)
	defer runtime.KeepAlive(ballast)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := serveSocket(ctx, connector, socket, token); err != nil {
		fmt.Fprintf(stderr, "ERROR %v\n", err)
		return 1
	}
	return 0
}

func serveSocket[S, R any](ctx context.Context, connector Connector[S, R], socket, token string) error {
	// A socket left by a process that was killed would refuse the bind.
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot listen on CONNECTOR_SOCKET: %w", err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("cannot listen on CONNECTOR_SOCKET: %w", err)
	}
	return ServeListener(ctx, connector, listener, token)
}

// ServeListener serves a connector to callers that have the token, until ctx ends. Running calls then end with UNAVAILABLE,
// within two seconds. It closes the listener.
func ServeListener[S, R any](ctx context.Context, connector Connector[S, R], listener net.Listener, token string) error {
	defer listener.Close()
	service, err := newService(connector, ctx.Done())
	if err != nil {
		return err
	}
	server := grpc.NewServer(
		grpc.InTapHandle(requireToken(token)),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(maxReceivedBytes),
		grpc.MaxSendMsgSize(maxSentBytes),
	)
	connectorpb.RegisterConnectorServer(server, service)
	ready := health.NewServer()
	ready.SetServingStatus(connectorpb.Connector_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, ready)
	reflection.Register(server)

	stopped := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(stopped)
		ready.Shutdown()
		// A client that keeps a stream open does not hold the exit.
		force := time.AfterFunc(stopWithin, server.Stop)
		defer force.Stop()
		server.GracefulStop()
	})
	err = server.Serve(listener)
	if !release() {
		<-stopped
		return nil
	}
	return err
}

// requireToken lets a call in that carries the token: of this service, health and reflection alike, before anything of it is
// read.
func requireToken(token string) tap.ServerInHandle {
	// Of one length, so that comparing tells nothing of the token.
	expected := sha256.Sum256([]byte("Bearer " + token))
	return func(ctx context.Context, info *tap.Info) (context.Context, error) {
		values := info.Header.Get("authorization")
		if len(values) == 1 {
			given := sha256.Sum256([]byte(values[0]))
			if subtle.ConstantTimeCompare(given[:], expected[:]) == 1 {
				return ctx, nil
			}
		}
		return nil, status.Error(codes.Unauthenticated, "the call carries no valid token: only the server that started this connector "+
			"may call it, with authorization: Bearer and the value of CONNECTOR_TOKEN")
	}
}
