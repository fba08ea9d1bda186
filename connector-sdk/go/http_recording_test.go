package connector

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

func TestARecordingIsPlayedBackOffline(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.har")
	const key = "k3y/with+signs=="
	credential := &connectorpb.Credential{Kind: &connectorpb.Credential_ApiKey{ApiKey: &connectorpb.ApiKey{Key: key}}}
	echo := func(writer http.ResponseWriter) {
		writer.Header().Set("content-type", "application/json")
		writer.Header().Set("set-cookie", "session=abcdef")
		fmt.Fprintf(writer, `{"plain": %q, "encoded": %q, "base64": %q, "inner": %q, "next_token": "abcdef", "passwords": ["abcdef"], "kept": "yes"}`,
			key, url.QueryEscape(key), base64.StdEncoding.EncodeToString([]byte(key)), base64.StdEncoding.EncodeToString([]byte("{"+key+"}")))
	}
	t.Setenv("CONNECTOR_HTTP_RECORD", file)
	source := newSource(t, local, credential, answers(429, "retry-after", "3"), echo, answers(200), func(writer http.ResponseWriter) { _, _ = writer.Write([]byte{0xff, 0xfe}) }, answers(404))
	post := func() error {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, source.URL+"/post", strings.NewReader(`{"secret":"abcdef","n":1}`))
		return source.client.DoJSON(request, new(any))
	}
	run := func() (results []string) {
		var answer map[string]any
		err := source.client.GetJSON(t.Context(), source.URL+"/a?b=2&a=1&api_key="+url.QueryEscape(key), &answer)
		results = append(results, fmt.Sprint(answer["kept"], err))
		results = append(results, fmt.Sprint(post()))
		response, err := source.client.Get(source.URL + "/bytes")
		if err != nil {
			return append(results, err.Error())
		}
		body, err := io.ReadAll(response.Body)
		results = append(results, fmt.Sprintf("%x %v", body, err))
		return append(results, fmt.Sprint(source.get(t, "/missing")))
	}
	recorded := run()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{key, url.QueryEscape(key), base64.StdEncoding.EncodeToString([]byte(key)), "abcdef", "Bearer", base64.RawStdEncoding.EncodeToString([]byte("{" + key + "}"))[2:20]} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%q stands in the recording:\n%s", secret, text)
		}
	}
	if lines := strings.Split(strings.TrimSpace(string(text)), "\n"); len(lines) != 7 {
		t.Errorf("five entries are not a line each: %d lines", len(lines))
	}
	source.Close()
	t.Setenv("CONNECTOR_HTTP_RECORD", "")
	t.Setenv("CONNECTOR_HTTP_REPLAY", file)
	source.slept = nil
	source.open(t, local, credential)
	if replayed := run(); fmt.Sprint(replayed) != fmt.Sprint(recorded) || len(source.slept) > 0 {
		t.Errorf("recorded %q, replayed %q, waited %v", recorded, replayed, source.slept)
	}
	err = source.get(t, "/missed")
	if !errors.Is(err, SourceUnavailable) || !strings.Contains(err.Error(), "/missed is not in") || !strings.Contains(err.Error(), "/missing") {
		t.Errorf("%v", err)
	}
	// After a crash the file's end may be missing.
	if err := os.WriteFile(file, text[:len(text)-40], 0o600); err != nil {
		t.Fatal(err)
	}
	source.open(t, local, credential)
	if err := post(); err != nil {
		t.Errorf("of a torn file: %v", err)
	}
}
