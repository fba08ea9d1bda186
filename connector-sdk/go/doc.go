// Package connector is what the author of a connector in Go imports.
//
// You write Pull, which reads the source and gives items to a sink, and Normalize, which makes a document of an item.
// The package does the rest: serving on the socket, the token check, health, reflection, page splitting, the order of
// checkpoints, raw items or envelopes as asked, errors, panics, cancellation, logs, and a client for HTTP sources that
// waits, retries and records.
//
//	func main() { connector.Serve(Tracker{}) }
//
// is the whole main. The same program is a tool for its author: run it with -help.
package connector
