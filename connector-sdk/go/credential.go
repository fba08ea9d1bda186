package connector

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// Credential is what a call authenticates with, fresh. It is good for this call only: keep nothing of it. Printing it shows
// no secret.
type Credential struct {
	message *connectorpb.Credential
	// By the names of the manifest's auth.fields, where it has them.
	fields map[string]string
}

// newCredential is nil for none. Where the manifest names its fields they are also understood as what its auth.type says.
func newCredential(message *connectorpb.Credential, auth manifestAuth) *Credential {
	if message.GetKind() == nil {
		return nil
	}
	fields := message.GetFields().GetValues()
	read := &Credential{message, fields}
	if fields == nil {
		return read
	}
	named := &connectorpb.Credential{ExpiresAt: message.GetExpiresAt(), Extras: message.GetExtras()}
	switch auth.Type {
	case "api_key":
		named.Kind = &connectorpb.Credential_ApiKey{ApiKey: &connectorpb.ApiKey{Key: auth.secretOf(fields)}}
	case "bearer_token":
		named.Kind = &connectorpb.Credential_BearerToken{BearerToken: &connectorpb.BearerToken{Token: auth.secretOf(fields)}}
	case "basic":
		named.Kind = &connectorpb.Credential_Basic{Basic: &connectorpb.BasicCredential{Username: fields["username"], Password: fields["password"]}}
	case "client_certificate":
		named.Kind = &connectorpb.Credential_ClientCertificate{ClientCertificate: &connectorpb.ClientCertificate{
			CertificatePem: fields["certificate_pem"], PrivateKeyPem: fields["private_key_pem"]}}
	default:
		return read
	}
	read.message = named
	return read
}

// What the single secret of a type is called where the manifest names no fields.
var standardSecret = map[string]string{"api_key": "key", "bearer_token": "token"}

// secretOf is the value that authenticates: the field of the standard name, else the first secret one.
func (a manifestAuth) secretOf(fields map[string]string) string {
	if value, ok := fields[standardSecret[a.Type]]; ok {
		return value
	}
	for _, field := range a.Fields {
		if field.isSecret() {
			return fields[field.Name]
		}
	}
	return ""
}

// Token is the single secret of an OAuth grant, a bearer token or an API key. SETTINGS_INVALID for a credential that has no
// such single secret.
func (c *Credential) Token() (string, error) {
	switch kind := c.kind().(type) {
	case *connectorpb.Credential_Oauth2:
		return kind.Oauth2.GetAccessToken(), nil
	case *connectorpb.Credential_BearerToken:
		return kind.BearerToken.GetToken(), nil
	case *connectorpb.Credential_ApiKey:
		return kind.ApiKey.GetKey(), nil
	}
	return "", c.otherKind("a token")
}

// Basic is user name and password. SETTINGS_INVALID for a credential of another kind.
func (c *Credential) Basic() (username, password string, err error) {
	if kind, ok := c.kind().(*connectorpb.Credential_Basic); ok {
		return kind.Basic.GetUsername(), kind.Basic.GetPassword(), nil
	}
	return "", "", c.otherKind("a user name and password")
}

// ClientCertificate is the chain and the private key, both PEM. SETTINGS_INVALID for a credential of another kind.
func (c *Credential) ClientCertificate() (certificate, privateKey string, err error) {
	if kind, ok := c.kind().(*connectorpb.Credential_ClientCertificate); ok {
		return kind.ClientCertificate.GetCertificatePem(), kind.ClientCertificate.GetPrivateKeyPem(), nil
	}
	return "", "", c.otherKind("a client certificate")
}

// Field is one of the values that the manifest's auth.fields declares. SETTINGS_INVALID when it was not given.
func (c *Credential) Field(name string) (string, error) {
	if c != nil {
		if value, ok := c.fields[name]; ok {
			return value, nil
		}
	}
	return "", c.otherKind(fmt.Sprintf("the field %q", name))
}

// Extra is a value of the token reply that the manifest asked to keep, such as instance_url. Empty: there is none.
func (c *Credential) Extra(name string) string {
	if c == nil {
		return ""
	}
	return c.message.GetExtras()[name]
}

// ExpiresAt is when it ends. Zero: not known, or never.
func (c *Credential) ExpiresAt() time.Time {
	if c == nil || c.message.GetExpiresAt() == nil {
		return time.Time{}
	}
	return c.message.GetExpiresAt().AsTime()
}

// String tells the kind and no secret.
func (c *Credential) String() string { return "Credential(" + c.kindName() + ", REDACTED)" }

// GoString tells the kind and no secret.
func (c *Credential) GoString() string { return c.String() }

// LogValue tells the kind and no secret.
func (c *Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// isRenewable says whether the server can get a new one without a person.
func (c *Credential) isRenewable() bool {
	_, ok := c.kind().(*connectorpb.Credential_Oauth2)
	return ok
}

func (c *Credential) kind() any {
	if c == nil {
		return nil
	}
	return c.message.GetKind()
}

func (c *Credential) kindName() string {
	switch c.kind().(type) {
	case *connectorpb.Credential_Oauth2:
		return "oauth2"
	case *connectorpb.Credential_ApiKey:
		return "api_key"
	case *connectorpb.Credential_BearerToken:
		return "bearer_token"
	case *connectorpb.Credential_Basic:
		return "basic"
	case *connectorpb.Credential_ClientCertificate:
		return "client_certificate"
	case *connectorpb.Credential_Fields:
		return "fields"
	}
	return "none"
}

func (c *Credential) otherKind(wanted string) error {
	return Errorf(SettingsInvalid, "this connector needs %s; the credential is of kind %s", wanted, c.kindName())
}

// values are all that must not be written anywhere.
func (c *Credential) values() []string {
	if c == nil {
		return nil
	}
	values := slices.Collect(maps.Values(c.fields))
	switch kind := c.kind().(type) {
	case *connectorpb.Credential_Basic:
		basic := kind.Basic
		values = append(values, basic.GetUsername()+":"+basic.GetPassword(), basic.GetPassword(), basic.GetUsername())
	case *connectorpb.Credential_ClientCertificate:
		values = append(values, kind.ClientCertificate.GetPrivateKeyPem())
	}
	if token, err := c.Token(); err == nil {
		values = append(values, token)
	}
	return values
}
