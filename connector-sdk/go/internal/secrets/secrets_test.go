package secrets

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
)

func TestASecretIsFoundInEveryForm(t *testing.T) {
	const secret = "pa\"ss/wörd+x"
	set := New([]string{secret, "abc"})
	for name, text := range map[string]string{
		"plain":   "begin " + secret + " end",
		"query":   url.QueryEscape(secret),
		"path":    url.PathEscape(secret),
		"json":    `{"a":"pa\"ss/wörd+x"}`,
		"basic":   base64.StdEncoding.EncodeToString([]byte("user:" + secret)),
		"shifted": base64.StdEncoding.EncodeToString([]byte("u:" + secret + "!")),
		"url":     base64.RawURLEncoding.EncodeToString([]byte(secret)),
	} {
		got := set.Redact(text)
		if !strings.Contains(got, Mark) || strings.Contains(got, "wörd") {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := set.Redact("abc is too short to say anything"); strings.Contains(got, Mark) {
		t.Error(got)
	}
	var none *Set
	if none.Redact("x") != "x" || New(nil).Redact("x") != "x" {
		t.Error("without secrets a text stays")
	}
}

func TestALongerSecretThatBeginsWithAnotherLeavesNoRest(t *testing.T) {
	if got := New([]string{"abcd", "abcdefgh"}).Redact("abcdefgh"); got != Mark {
		t.Error(got)
	}
}

func TestSecretsOfRunningCallsAreHiddenUntilTheyEnd(t *testing.T) {
	var running Running
	end := running.Add(New([]string{"secret-1"}))
	if got := running.Redact("secret-1"); got != Mark {
		t.Error(got)
	}
	end()
	if got := running.Redact("secret-1"); got != "secret-1" {
		t.Error(got)
	}
}
