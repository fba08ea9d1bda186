package connector

import "os"

func runCommand[S, R any](connector Connector[S, R], args []string, stdout, stderr *os.File) int {
	return serveFromEnvironment(connector, stderr)
}
