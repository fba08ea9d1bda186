package connector

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

const usage = `%[1]s is a connector. connectord starts it; for its author it is a tool as well.

  %[1]s [serve]    what connectord calls, with CONNECTOR_SOCKET and CONNECTOR_TOKEN set
  %[1]s info       the manifest, what is served, what is wrong with it
  %[1]s test       try a connection: each check, with what to do
  %[1]s pull       pull in this process: the changes, and at the end counts and cursors

Options of test and pull:
  --settings FILE         the settings, as JSON
  --set NAME=VALUE        one of them; repeat for more
  --credential-env NAME   the environment variable with the credential: a key or token as it is, user:password, or JSON
  --credential FILE       the file with it
  --record FILE           write what goes through the HTTP client, without secrets (HAR 1.2)
  --replay FILE           answer from such a file, without network
  --json                  a line of JSON for each (info has it too)

Options of pull:
  --mode MODE     full, incremental, list or targeted (default: full, or incremental where --cursor has what that goes on from)
  --id ID         what targeted asks for; repeat for more
  --cursor FILE   read where to go on from, and written at each checkpoint
  --limit N       end after N changes

Exit codes: 0 done, 1 failed, 2 usage.
`

// errUsage is what the person at the keyboard has to write in another way.
type errUsage struct{ error }

// runCommand is the program of a connector; it returns the exit code.
func runCommand[S, R any](connector Connector[S, R], args []string, stdout, stderr *os.File) int {
	name := "connector"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if len(args) == 0 || args[0] == "serve" {
		return serveFromEnvironment(connector, stderr)
	}
	logTo(stderr)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var err error
	switch args[0] {
	case "info":
		err = info(connector, args[1:], stdout)
	case "test":
		err = test(ctx, connector, args[1:], stdout)
	case "pull":
		err = pull(ctx, connector, args[1:], stdout, stderr)
	case "help", "-h", "-help", "--help":
		fmt.Fprintf(stdout, usage, name)
	default:
		err = errUsage{fmt.Errorf("there is no command %q", args[0])}
	}
	var wrong errUsage
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(stdout, usage, name)
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "%v\n  see %s help\n", err, name)
		return 2
	case errors.Is(err, errToldAlready):
		return 1
	}
	fmt.Fprintf(stderr, "ERROR %v\n", err)
	return 1
}

// errToldAlready ends with 1 and says nothing more.
var errToldAlready = errors.New("told already")

func info[S, R any](connector Connector[S, R], args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("info", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	asJSON := flags.Bool("json", false, "")
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	manifest, err := readManifest(connector.Manifest())
	if err != nil {
		return err
	}
	wrong := missingMethods(connector, manifest.capabilities)
	served := servedCapabilities(manifest.capabilities)
	if *asJSON {
		told := map[string]any{
			"manifest": json.RawMessage(manifest.text), "serves": served, "problems": append([]string{}, wrong...), "sdk": "go/" + sdkVersion,
		}
		if err := writeJSON(stdout, told); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(stdout, "id        %s\nname      %s\nversion   %s\nauth      %s\nserves    %s\nhosts     %s\n",
			manifest.ID, manifest.Name, manifest.Version, manifest.Auth.Type, strings.Join(served, ", "), strings.Join(manifest.AllowedHosts, ", "))
		for _, problem := range wrong {
			fmt.Fprintf(stdout, "problem   %s\n", problem)
		}
	}
	if len(wrong) > 0 {
		return errToldAlready
	}
	return nil
}

func servedCapabilities(served *connectorpb.Capabilities) []string {
	names := []string{}
	fields := served.ProtoReflect().Descriptor().Fields()
	for index := range fields.Len() {
		if served.ProtoReflect().Get(fields.Get(index)).Bool() {
			names = append(names, string(fields.Get(index).Name()))
		}
	}
	return names
}

func test[S, R any](ctx context.Context, connector Connector[S, R], args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	options := connectionFlags(flags)
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	service, connection, err := open(ctx, connector, options)
	if err != nil {
		return err
	}
	answer, err := service.TestConnection(ctx, &connectorpb.TestConnectionRequest{
		Settings: connection.settings, Credential: connection.credential, ContractRevision: contractRevision,
	})
	if err != nil {
		return ErrorOfStatus(err)
	}
	failed := false
	for _, check := range answer.GetChecks() {
		outcome := strings.ToLower(strings.TrimPrefix(check.GetOutcome().String(), "OUTCOME_"))
		failed = failed || check.GetOutcome() <= connectorpb.Check_OUTCOME_UNSPECIFIED || check.GetOutcome() == connectorpb.Check_OUTCOME_FAILED
		if options.asJSON {
			if err := writeProto(stdout, check); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(stdout, "%-8s %s: %s\n", outcome, check.GetName(), check.GetMessage())
		if check.GetFix() != "" {
			fmt.Fprintf(stdout, "         to do: %s\n", check.GetFix())
		}
	}
	if account := answer.GetAccount(); account != nil && !options.asJSON {
		fmt.Fprintf(stdout, "account  %s %s %s\n", account.GetId(), account.GetDisplayName(), account.GetEmail())
	}
	if failed {
		return errToldAlready
	}
	return nil
}

// open makes the service that a command calls in this process.
func open[S, R any](ctx context.Context, connector Connector[S, R], options *connectionOptions) (*service[S, R], *connection, error) {
	for name, path := range map[string]string{"CONNECTOR_HTTP_RECORD": options.record, "CONNECTOR_HTTP_REPLAY": options.replay} {
		if path == "" {
			continue
		}
		if err := os.Setenv(name, path); err != nil {
			return nil, nil, err
		}
	}
	service, err := newService(connector, ctx.Done())
	if err != nil {
		return nil, nil, err
	}
	opened, err := options.connection(service.manifest)
	return service, opened, err
}

func parseFlags(flags *flag.FlagSet, args []string) error {
	err := flags.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return errUsage{err}
	}
	if err == nil && flags.NArg() > 0 {
		return errUsage{fmt.Errorf("what is %q?", flags.Arg(0))}
	}
	return err
}
