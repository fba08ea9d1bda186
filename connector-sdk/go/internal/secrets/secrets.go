// Package secrets replaces what must not be written by [redacted].
package secrets

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"sort"
	"strings"
	"sync"
)

// Mark stands where a secret was.
const Mark = "[redacted]"

// Values shorter than this say nothing, and would take harmless text with them.
const minBytes = 4

// Set is the secrets of one call. The nil set has none.
type Set struct {
	replacer *strings.Replacer
}

// New makes the set of these values, each in the forms in which it may turn up.
func New(values []string) *Set {
	forms := map[string]bool{}
	for _, value := range values {
		if len(value) < minBytes {
			continue
		}
		for _, form := range formsOf(value) {
			forms[form] = true
		}
	}
	if len(forms) == 0 {
		return nil
	}
	// A replacer prefers the earlier argument: the longer form first, so that nothing of it is left over.
	sorted := make([]string, 0, len(forms))
	for form := range forms {
		sorted = append(sorted, form)
	}
	sort.Slice(sorted, func(a, b int) bool {
		return len(sorted[a]) > len(sorted[b]) || len(sorted[a]) == len(sorted[b]) && sorted[a] < sorted[b]
	})
	pairs := make([]string, 0, 2*len(sorted))
	for _, form := range sorted {
		pairs = append(pairs, form, Mark)
	}
	return &Set{strings.NewReplacer(pairs...)}
}

// formsOf is a value plain, percent-encoded, as a text of JSON, in hexadecimal, and in base64 wherever it begins in the text
// that was encoded.
func formsOf(value string) []string {
	forms := []string{value, url.QueryEscape(value), url.PathEscape(value), hex.EncodeToString([]byte(value))}
	if text, err := json.Marshal(value); err == nil {
		forms = append(forms, string(text[1:len(text)-1]))
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for offset := range 3 {
			encoded := encoding.EncodeToString(append(make([]byte, offset), value...))
			// The first and last characters also hold bits of what stands before and after.
			start := []int{0, 2, 3}[offset]
			end := (offset + len(value)) * 8 / 6
			forms = append(forms, encoded[start:end])
		}
	}
	return forms
}

// Redact is the text without the secrets.
func (s *Set) Redact(text string) string {
	if s == nil {
		return text
	}
	return s.replacer.Replace(text)
}

// Running is the secrets of all calls that are under way.
type Running struct {
	mutex sync.Mutex
	sets  map[*Set]bool
}

// Add counts a set in until its end is called.
func (r *Running) Add(set *Set) (end func()) {
	if set == nil {
		return func() {}
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.sets == nil {
		r.sets = map[*Set]bool{}
	}
	r.sets[set] = true
	return func() {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		delete(r.sets, set)
	}
}

// Redact is the text without the secrets of any running call.
func (r *Running) Redact(text string) string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for set := range r.sets {
		text = set.Redact(text)
	}
	return text
}

// Writer writes to another what is left without the secrets of running calls. Each Write is one text.
func (r *Running) Writer(to io.Writer) io.Writer { return writer{r, to} }

type writer struct {
	running *Running
	to      io.Writer
}

func (w writer) Write(text []byte) (int, error) {
	if _, err := io.WriteString(w.to, w.running.Redact(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}
