// Package har writes what goes through an HTTP client to a file, and answers from it later. The format is HAR 1.2, one entry
// a line.
package har

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/superfasttt/connectors/connector-sdk/go/internal/secrets"
)

// Exchange is a request with its answer, bodies read.
type Exchange struct {
	Request      *http.Request
	RequestBody  []byte
	Response     *http.Response
	ResponseBody []byte
	Started      time.Time
	Took         time.Duration
}

type entry struct {
	StartedDateTime string         `json:"startedDateTime"`
	Time            float64        `json:"time"`
	Request         request        `json:"request"`
	Response        response       `json:"response"`
	Cache           map[string]any `json:"cache"`
	Timings         timings        `json:"timings"`
}

type request struct {
	Method      string    `json:"method"`
	URL         string    `json:"url"`
	HTTPVersion string    `json:"httpVersion"`
	Cookies     []any     `json:"cookies"`
	Headers     []pair    `json:"headers"`
	QueryString []pair    `json:"queryString"`
	PostData    *postData `json:"postData,omitempty"`
	HeadersSize int       `json:"headersSize"`
	BodySize    int       `json:"bodySize"`
}

type response struct {
	Status      int     `json:"status"`
	StatusText  string  `json:"statusText"`
	HTTPVersion string  `json:"httpVersion"`
	Cookies     []any   `json:"cookies"`
	Headers     []pair  `json:"headers"`
	Content     content `json:"content"`
	RedirectURL string  `json:"redirectURL"`
	HeadersSize int     `json:"headersSize"`
	BodySize    int     `json:"bodySize"`
}

type pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type postData struct {
	MimeType string `json:"mimeType"`
	Text     string `json:"text"`
	// HAR 1.2 has it for answers only; its readers pass it over here.
	Encoding string `json:"encoding,omitempty"`
}

type content struct {
	Size     int    `json:"size"`
	MimeType string `json:"mimeType"`
	Text     string `json:"text"`
	Encoding string `json:"encoding,omitempty"`
}

type timings struct {
	Send    float64 `json:"send"`
	Wait    float64 `json:"wait"`
	Receive float64 `json:"receive"`
}

// newEntry is what is written of an exchange.
func newEntry(exchange Exchange, call *secrets.Set) entry {
	asked, answered := exchange.Request, exchange.Response
	address := redactURL(asked.URL, call)
	milliseconds := float64(exchange.Took.Microseconds()) / 1000
	written := entry{
		StartedDateTime: exchange.Started.UTC().Format(time.RFC3339Nano),
		Time:            milliseconds,
		Request: request{
			Method: asked.Method, URL: address.String(), HTTPVersion: asked.Proto, Cookies: []any{},
			Headers: headers(asked.Header, call), QueryString: query(address), HeadersSize: -1, BodySize: len(exchange.RequestBody),
		},
		Response: response{
			Status: answered.StatusCode, StatusText: http.StatusText(answered.StatusCode), HTTPVersion: answered.Proto, Cookies: []any{},
			Headers: headers(answered.Header, call), RedirectURL: call.Redact(answered.Header.Get("location")),
			HeadersSize: -1, BodySize: len(exchange.ResponseBody),
		},
		Cache:   map[string]any{},
		Timings: timings{Wait: milliseconds},
	}
	if len(exchange.RequestBody) > 0 {
		mediaType := asked.Header.Get("content-type")
		text, encoding := bodyText(exchange.RequestBody, mediaType, call)
		written.Request.PostData = &postData{MimeType: mediaType, Text: text, Encoding: encoding}
	}
	mediaType := answered.Header.Get("content-type")
	text, encoding := bodyText(exchange.ResponseBody, mediaType, call)
	written.Response.Content = content{Size: len(exchange.ResponseBody), MimeType: mediaType, Text: text, Encoding: encoding}
	return written
}

// bodyText is a body as it is written: redacted, and in base64 where it is no text.
func bodyText(body []byte, mediaType string, call *secrets.Set) (text, encoding string) {
	redacted := call.Redact(string(body))
	if !utf8.ValidString(redacted) {
		return base64.StdEncoding.EncodeToString([]byte(redacted)), "base64"
	}
	return redactFields(redacted, mediaType), ""
}

func headers(from http.Header, call *secrets.Set) []pair {
	pairs := []pair{}
	for name, values := range from {
		for _, value := range values {
			if SaysSecret(name) {
				value = secrets.Mark
			}
			pairs = append(pairs, pair{strings.ToLower(name), call.Redact(value)})
		}
	}
	slices.SortFunc(pairs, comparePairs)
	return pairs
}

func query(address *url.URL) []pair {
	pairs := []pair{}
	for name, values := range address.Query() {
		for _, value := range values {
			pairs = append(pairs, pair{name, value})
		}
	}
	slices.SortFunc(pairs, comparePairs)
	return pairs
}

func comparePairs(a, b pair) int {
	if order := strings.Compare(a.Name, b.Name); order != 0 {
		return order
	}
	return strings.Compare(a.Value, b.Value)
}
