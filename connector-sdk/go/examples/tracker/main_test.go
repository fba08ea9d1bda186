package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
	"github.com/superfasttt/connectors/connector-sdk/go/connectortest"
)

const (
	samples   = "../../../../samples/tracker/"
	recording = "testdata/tracker.har"
)

// startTracker runs the sample tracker until the test ends, and says where it listens.
func startTracker(t *testing.T) string {
	t.Helper()
	command := exec.Command("python3", samples+"tracker.py", "--port", "0", "--with-stdin")
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("the sample tracker needs python3: %v", err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = command.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	var told struct{ URL string }
	if err != nil || json.Unmarshal([]byte(line), &told) != nil {
		t.Fatalf("the sample tracker said %q: %v", line, err)
	}
	return told.URL
}

func control(t *testing.T, url, what string) {
	t.Helper()
	response, err := http.Post(url+"/_control", "application/json", strings.NewReader(what))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
}

func request(url string, mode connectorpb.PullMode, states []*connectorpb.ScopeState, ids ...string) *connectorpb.PullRequest {
	asked := connectortest.FullPull(map[string]any{"url": url})
	asked.Credential = connectortest.Fields(map[string]string{"key": "tracker-key"})
	asked.Mode, asked.States, asked.Ids = mode, states, ids
	return asked
}

func TestTheTrackerIsRead(t *testing.T) {
	url := startTracker(t)
	client := connectortest.Start(t, tracker{})

	full := client.Collect(request(url, connectorpb.PullMode_PULL_MODE_FULL, nil))
	checkpoints := full.Checkpoints()
	if full.Err != nil || len(full.Documents()) != 249 || len(full.ItemErrors()) != 1 || full.ItemErrors()[0].GetId() != "13" {
		t.Fatalf("%v: %d documents, %v", full.Err, len(full.Documents()), full.ItemErrors())
	}
	if !checkpoints[len(checkpoints)-1].ListingComplete {
		t.Error("the listing is not complete")
	}
	private := full.Documents()[4]
	if private.Id != "5" || private.Permissions.Visibility != "private" || private.Permissions.Allow[0] != "user:user5@tracker.example" {
		t.Errorf("%v", private)
	}

	// Cut after each checkpoint, a listing goes on from there.
	for number, checkpoint := range checkpoints[:len(checkpoints)-2] {
		states := []*connectorpb.ScopeState{{Cursor: checkpoint.GetCursor()}}
		rest := client.Collect(request(url, connectorpb.PullMode_PULL_MODE_FULL, states))
		if changes := len(rest.Changes()); rest.Err != nil || changes != 250-50*(number+1) {
			t.Errorf("after checkpoint %d: %d changes, %v", number, changes, rest.Err)
		}
	}

	control(t, url, `{"put": [{"number": 7, "title": "Seven"}], "delete": [3]}`)
	changed := client.Collect(request(url, connectorpb.PullMode_PULL_MODE_INCREMENTAL, full.States()))
	if changed.Err != nil || len(changed.Documents()) != 1 || changed.Documents()[0].Title != "Seven" || len(changed.Deletions()) != 1 {
		t.Errorf("%v: %v", changed.Err, changed.Changes())
	}
	if again := client.Collect(request(url, connectorpb.PullMode_PULL_MODE_INCREMENTAL, changed.States())); again.Err != nil || len(again.Changes()) != 0 {
		t.Errorf("nothing had changed: %v, %v", again.Err, again.Changes())
	}

	targeted := client.Collect(request(url, connectorpb.PullMode_PULL_MODE_TARGETED, nil, "7", "3", "13", "no/such"))
	if targeted.Err != nil || len(targeted.Documents()) != 1 || len(targeted.Deletions()) != 1 || len(targeted.ItemErrors()) != 2 {
		t.Errorf("%v: %v", targeted.Err, targeted.Changes())
	}
	if list := client.Collect(request(url, connectorpb.PullMode_PULL_MODE_LIST, nil)); list.Err != nil || len(list.Changes()) != 249 || list.Changes()[0].GetPresent() == nil {
		t.Errorf("%v: %d presents", list.Err, len(list.Changes()))
	}

	control(t, url, `{"history": 1, "put": [{"number": 8}, {"number": 9}], "key": "another"}`)
	if refused := client.Collect(request(url, connectorpb.PullMode_PULL_MODE_FULL, nil)); refused.Err == nil || refused.Err.Reason != "CREDENTIAL_REVOKED" {
		t.Errorf("%v", refused.Err)
	}
	control(t, url, `{"key": "tracker-key"}`)
	if forgotten := client.Collect(request(url, connectorpb.PullMode_PULL_MODE_INCREMENTAL, changed.States())); forgotten.Err == nil || forgotten.Err.Reason != "CURSOR_INVALID" {
		t.Errorf("%v", forgotten.Err)
	}
}

// To record it again: go test ./examples/tracker -run Offline with RECORD=1.
func TestTheRecordingIsReadOffline(t *testing.T) {
	url := "http://127.0.0.1:7090"
	if os.Getenv("RECORD") != "" {
		url = startTracker(t)
		connectortest.Record(t, recording)
	} else {
		connectortest.Replay(t, recording)
	}
	client := connectortest.Start(t, tracker{})
	full := client.Collect(request(url, connectorpb.PullMode_PULL_MODE_FULL, nil))
	if full.Err != nil || len(full.Documents()) != 249 || len(full.ItemErrors()) != 1 {
		t.Errorf("%v: %d documents", full.Err, len(full.Documents()))
	}
	if os.Getenv("RECORD") != "" {
		text, _ := os.ReadFile(recording)
		_ = os.WriteFile(recording, []byte(strings.ReplaceAll(string(text), url, "http://127.0.0.1:7090")), 0o644)
	}
}

func TestTheManifestIsThatOfEveryLanguage(t *testing.T) {
	ours, err := os.ReadFile("manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(samples + "manifest.json")
	if err != nil || string(ours) != string(theirs) {
		t.Errorf("manifest.json is not that of %s (%v): copy it", samples, err)
	}
}

func TestItIsUnder80LinesOfItsOwn(t *testing.T) {
	text, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	own := regexp.MustCompile(`(?s)import \(.*?\)\n`).ReplaceAllString(string(text), "")
	count := 0
	for line := range strings.Lines(own) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			count++
		}
	}
	if count >= 80 {
		t.Errorf("%d lines without imports and comments", count)
	}
}

func TestThroughConnectord(t *testing.T) {
	binaries := os.Getenv("SUPERFASTTT_BIN_DIR")
	if binaries == "" {
		binaries = "../../../../target/debug"
	}
	if _, err := os.Stat(filepath.Join(binaries, "connectord")); err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("DEMAND_TOOLCHAINS") == "1" {
			t.Fatalf("connectord is missing (%v): run `cargo build -p connectord -p connectorctl`", err)
		}
		t.Skipf("SKIPPED: connectord is missing: run `cargo build -p connectord -p connectorctl`, or set SUPERFASTTT_BIN_DIR")
	}
	folder := t.TempDir()
	if output, err := exec.Command("go", "build", "-o", filepath.Join(folder, "connector"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if err := os.WriteFile(filepath.Join(folder, "manifest.json"), []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command("python3", samples+"through_connectord.py", folder).CombinedOutput()
	t.Logf("%s", output)
	if err != nil {
		t.Error(err)
	}
}

func TestTheProgramIsAToolOfItsAuthor(t *testing.T) {
	url := startTracker(t)
	folder := t.TempDir()
	program := filepath.Join(folder, "connector")
	if output, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	cursor, key := filepath.Join(folder, "cursor.json"), filepath.Join(folder, "key")
	if err := os.WriteFile(key, []byte("tracker-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(code int, wants string, arguments ...string) string {
		t.Helper()
		command := exec.Command(program, arguments...)
		command.Env = append(os.Environ(), "TRACKER_KEY=tracker-key", "WRONG_KEY=wrong-key")
		output, err := command.CombinedOutput()
		if command.ProcessState.ExitCode() != code || !strings.Contains(string(output), wants) {
			t.Errorf("%v ended with %v: %.2000s", arguments, err, output)
		}
		return string(output)
	}
	with := func(more ...string) []string {
		return append([]string{more[0], "--set", "url=" + url, "--credential-env", "TRACKER_KEY"}, more[1:]...)
	}
	run(0, "incremental, full_listing, list, targeted", "info")
	run(0, `"problems":[]`, "info", "--json")
	run(0, "passed   account_readable", with("test")...)
	run(1, `"outcome":"OUTCOME_FAILED"`, "test", "--set", "url="+url, "--credential-env", "WRONG_KEY", "--json")
	run(0, "249 documents\n1 item error", "pull", "--set", "url="+url, "--credential", key, "--cursor", cursor)
	control(t, url, `{"delete": [4]}`)
	run(0, "- 4\n", with("pull", "--cursor", cursor)...)
	run(0, `{"document":{"id":"9","title":"Issue 9"`, with("pull", "--mode", "targeted", "--id", "9", "--json")...)
	run(0, "3 documents\n", with("pull", "--mode", "full", "--limit", "3")...)
	run(0, "= 1  1\n", with("pull", "--mode", "list", "--limit", "3")...)
	run(1, "REVOKED", "pull", "--set", "url="+url, "--credential-env", "WRONG_KEY")
	run(0, "249 documents", "pull", "--credential-env", "TRACKER_KEY", "--replay", recording)
	run(2, "there is no command", "mend")
	run(2, "--mode is", with("pull", "--mode", "sideways")...)
	run(2, "NO_SUCH", "pull", "--credential-env", "NO_SUCH")
	run(2, "what is", with("pull", "extra")...)
	run(0, "Exit codes", "--help")
	run(0, "Exit codes", "pull", "--help")
	if output := run(0, "", with("pull", "--record", filepath.Join(folder, "r.har"))...); strings.Contains(output, "tracker-key") {
		t.Error("the key is shown")
	}
	if text, err := os.ReadFile(filepath.Join(folder, "r.har")); err != nil || strings.Contains(string(text), "tracker-key") {
		t.Errorf("the key is recorded, or nothing is: %v", err)
	}
}
