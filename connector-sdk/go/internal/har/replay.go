package har

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/superfasttt/connectors/connector-sdk/go/internal/secrets"
)

// Player answers requests from a file.
type Player struct {
	path    string
	entries []entry
	mutex   sync.Mutex
	// Which entries have answered.
	played []bool
}

// NotRecorded is the error of a request that is not in the file.
type NotRecorded struct{ message string }

// Error says which request it was, and the nearest one that is there.
func (e *NotRecorded) Error() string { return e.message }

// NewPlayer reads a file of any HAR writer, or one entry a line.
func NewPlayer(path string) (*Player, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot replay: %w", err)
	}
	var archive struct {
		Log struct {
			Entries []entry `json:"entries"`
		} `json:"log"`
	}
	if err := json.Unmarshal(text, &archive); err != nil || archive.Log.Entries == nil {
		archive.Log.Entries = entriesByLine(text)
	}
	if len(archive.Log.Entries) == 0 {
		return nil, fmt.Errorf("cannot replay %s: it has no entries of HAR 1.2", path)
	}
	return &Player{path: path, entries: archive.Log.Entries, played: make([]bool, len(archive.Log.Entries))}, nil
}

// entriesByLine reads what there is of a file whose end is missing, as after a crash in the middle of a write.
func entriesByLine(text []byte) []entry {
	var entries []entry
	for line := range bytes.Lines(text) {
		var read entry
		line = bytes.Trim(line, ", \t\r\n")
		if json.Unmarshal(line, &read) == nil && read.Request.Method != "" {
			entries = append(entries, read)
		}
	}
	return entries
}

// Answer finds the answer of a request. Those alike are answered in their order, and the last one goes on answering.
func (p *Player) Answer(asked *http.Request, body []byte, call *secrets.Set) (*http.Response, error) {
	wanted := newEntry(Exchange{Request: asked, RequestBody: body, Response: &http.Response{}}, call).Request
	p.mutex.Lock()
	defer p.mutex.Unlock()
	found := -1
	for index := range p.entries {
		if !alike(&p.entries[index].Request, &wanted) {
			continue
		}
		found = index
		if !p.played[index] {
			break
		}
	}
	if found < 0 {
		return nil, &NotRecorded{fmt.Sprintf("%s %s is not in %s; the nearest that is there: %s", wanted.Method, wanted.URL, p.path, p.nearest(&wanted))}
	}
	p.played[found] = true
	return p.entries[found].Response.response(asked)
}

func alike(recorded, wanted *request) bool {
	return recorded.Method == wanted.Method && sameAddress(recorded.URL, wanted.URL) && recorded.PostData.text() == wanted.PostData.text()
}

// sameAddress compares with query parameters in any order, those left out that one side has redacted.
func sameAddress(recorded, wanted string) bool {
	a, errA := url.Parse(recorded)
	b, errB := url.Parse(wanted)
	if errA != nil || errB != nil {
		return recorded == wanted
	}
	queryA, queryB := a.Query(), b.Query()
	for _, query := range []url.Values{queryA, queryB} {
		for name, values := range query {
			if slices.ContainsFunc(values, func(value string) bool { return strings.Contains(value, secrets.Mark) }) {
				delete(queryA, name)
				delete(queryB, name)
			}
		}
	}
	return strings.EqualFold(a.Scheme+"://"+a.Host, b.Scheme+"://"+b.Host) && a.Path == b.Path && queryA.Encode() == queryB.Encode()
}

func (d *postData) text() string {
	if d == nil {
		return ""
	}
	return d.Text
}

func (r *response) response(asked *http.Request) (*http.Response, error) {
	body := []byte(r.Content.Text)
	if r.Content.Encoding == "base64" {
		decoded, err := base64.StdEncoding.DecodeString(r.Content.Text)
		if err != nil {
			return nil, fmt.Errorf("the recorded answer of %s %s is no base64", asked.Method, asked.URL.Path)
		}
		body = decoded
	}
	header := http.Header{}
	for _, pair := range r.Headers {
		// The body is kept as the client saw it.
		if name := strings.ToLower(pair.Name); name != "content-encoding" && name != "content-length" && name != "transfer-encoding" {
			header.Add(pair.Name, pair.Value)
		}
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", r.Status, r.StatusText), StatusCode: r.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: asked,
	}, nil
}

// nearest is the recorded request whose beginning and end are most like the wanted one's.
func (p *Player) nearest(wanted *request) string {
	best, bestScore := "none", -1
	want := wanted.Method + " " + wanted.URL
	for index := range p.entries {
		recorded := p.entries[index].Request
		have := recorded.Method + " " + recorded.URL
		score := 0
		for score < min(len(have), len(want)) && have[score] == want[score] {
			score++
		}
		if have == want {
			have += " with another body"
		}
		if score > bestScore {
			best, bestScore = have, score
		}
	}
	return best
}
