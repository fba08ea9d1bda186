package connector_test

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionalpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
	"github.com/superfasttt/connectors/connector-sdk/go/connectortest"
)

// endless checkpoints once, says what it was given, and waits.
var endless = fake{pull: func(ctx context.Context, pull pulling, sink sinking) error {
	key, err := pull.Credential.Token()
	if err != nil {
		return err
	}
	slog.WarnContext(ctx, "begun\nwith", "key", key, "pin", pull.Settings.Pin, "credential", pull.Credential)
	println("to stderr")
	sink.Checkpoint([]byte("begun"), true)
	<-ctx.Done()
	return ctx.Err()
}}

func program(t *testing.T, variables ...string) *exec.Cmd {
	t.Helper()
	itself, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(itself)
	command.Env = append([]string{"BE_A_CONNECTOR=1", "GORACE=atexit_sleep_ms=0", "PATH=" + os.Getenv("PATH")}, variables...)
	return command
}

func TestTheProgramServesOnItsSocketAndStopsWhenAsked(t *testing.T) {
	// Paths of sockets are short; those of a test's folder need not be.
	folder, err := os.MkdirTemp("", "go")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	socket := filepath.Join(folder, "c.sock")
	// Left by a process that was killed.
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	_ = left.Close()

	command := program(t, "CONNECTOR_SOCKET="+socket, "CONNECTOR_TOKEN=t0ken", "CONNECTOR_LOG=info")
	var stdout strings.Builder
	command.Stdout = &stdout
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })

	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer t0ken")
	for _, service := range []string{"", "superfasttt.connector.v1.Connector"} {
		answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: service}, grpc.WaitForReady(true))
		if err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
			t.Fatalf("health of %q: %v, %v", service, answer, err)
		}
	}
	watch, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := watch.Recv(); err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("%v, %v", answer, err)
	}
	request := connectortest.FullPull(map[string]any{"pin": "4711-4711"})
	request.Credential = connectortest.APIKey("k3y-of-a-test")
	stream, err := connectorpb.NewConnectorClient(conn).Pull(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}

	asked := time.Now()
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if answer, err := watch.Recv(); err != nil || answer.Status != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health turned %v, %v", answer, err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the pull ended with %v", err)
	}
	var lines []string
	for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	if err := command.Wait(); err != nil || time.Since(asked) > 2*time.Second {
		t.Errorf("it ended after %s with %v", time.Since(asked), err)
	}
	if stdout.Len() > 0 {
		t.Errorf("on stdout: %q", stdout.String())
	}
	want := `WARN msg="begun\nwith" key=[redacted] pin=[redacted] credential="Credential(api_key, REDACTED)" rpc=pull`
	if !slices.Contains(lines, want) {
		t.Errorf("its log is %q", lines)
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Error("the socket is left")
	}
}

func TestStartedByHandItSaysWhatItIs(t *testing.T) {
	output, err := program(t, "CONNECTOR_TOKEN=x").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(output), "CONNECTOR_SOCKET is not") {
		t.Errorf("%v: %s", err, output)
	}
}

func TestEveryCallCarriesTheToken(t *testing.T) {
	for _, authorization := range []string{"", "Bearer", "Bearer other", "bearer right", "Bearer right ", "right"} {
		conn := connectortest.StartWithToken(t, fake{}, "right", authorization)
		ctx := t.Context()
		_, describe := connectorpb.NewConnectorClient(conn).Describe(ctx, &connectorpb.DescribeRequest{ContractRevision: 1})
		_, health := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
		unknown := conn.Invoke(ctx, "/some.Service/Method", &emptypb.Empty{}, &emptypb.Empty{})
		stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err == nil {
			_, err = stream.Recv()
		}
		for name, err := range map[string]error{"describe": describe, "health": health, "unknown": unknown, "reflection": err} {
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("%q: %s answers %v", authorization, name, err)
			}
		}
	}
}

func TestReflectionNamesTheServicesInBothVersions(t *testing.T) {
	client := connectortest.Start(t, fake{})
	v1, err := reflectionpb.NewServerReflectionClient(client.Conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = v1.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	answer, err := v1.Recv()
	if err != nil || !strings.Contains(answer.String(), "superfasttt.connector.v1.Connector") {
		t.Errorf("%v, %v", answer, err)
	}
	alpha, err := reflectionalpha.NewServerReflectionClient(client.Conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = alpha.Send(&reflectionalpha.ServerReflectionRequest{MessageRequest: &reflectionalpha.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "superfasttt.connector.v1.Connector"}})
	if answer, err := alpha.Recv(); err != nil || len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("%v, %v", answer, err)
	}
}
