package har

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/superfasttt/connectors/connector-sdk/go/internal/secrets"
)

// SaysSecret says whether a header, a query parameter or a field of this name is never written: the names that are known,
// and every one that says token, secret, password or key.
func SaysSecret(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "authorization", "cookie", "set-cookie", "proxy-authorization":
		return true
	}
	for _, word := range []string{"token", "secret", "password", "key"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// redactURL is an address without secrets.
func redactURL(address *url.URL, call *secrets.Set) *url.URL {
	redacted := *address
	if redacted.User != nil {
		redacted.User = url.User(secrets.Mark)
	}
	redacted.Path, redacted.RawPath = call.Redact(address.Path), ""
	redacted.Fragment, redacted.RawFragment = "", ""
	if address.RawQuery != "" {
		redacted.RawQuery = redactForm(call.Redact(address.RawQuery))
	}
	return &redacted
}

// A field of JSON with its value: a text, a number, a word, or a list of those; what has fields of its own is looked into.
// Found in the text, so that everything else stays byte for byte as it was.
var jsonField = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"(\s*:\s*)("(?:[^"\\]|\\.)*"|[-+.\w]+|\[[^\[\]{}]*\])`)

// redactFields replaces the values of fields whose name says that they are secret.
func redactFields(body, mediaType string) string {
	if strings.HasPrefix(mediaType, "application/x-www-form-urlencoded") {
		return redactForm(body)
	}
	return jsonField.ReplaceAllStringFunc(body, func(field string) string {
		parts := jsonField.FindStringSubmatch(field)
		name, colon, value := parts[1], parts[2], parts[3]
		if !SaysSecret(name) || value == "null" {
			return field
		}
		return `"` + name + `"` + colon + `"` + secrets.Mark + `"`
	})
}

// redactForm does the same in a query or a form.
func redactForm(form string) string {
	fields := strings.Split(form, "&")
	for index, field := range fields {
		name, _, hasValue := strings.Cut(field, "=")
		plain, err := url.QueryUnescape(name)
		if hasValue && (err != nil || SaysSecret(plain)) {
			fields[index] = name + "=" + url.QueryEscape(secrets.Mark)
		}
	}
	return strings.Join(fields, "&")
}
