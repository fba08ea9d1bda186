package connector

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

// connectionOptions are the options of test and pull that say which connection is meant.
type connectionOptions struct {
	settingsFile, credentialEnv, credentialFile string
	set                                         repeated
	record, replay                              string
	asJSON                                      bool
}

// connection is what a call is about.
type connection struct {
	settings   *structpb.Struct
	credential *connectorpb.Credential
}

// repeated is an option that may be given several times.
type repeated []string

// String is for package flag.
func (r *repeated) String() string { return strings.Join(*r, ",") }

// Set is for package flag.
func (r *repeated) Set(value string) error {
	*r = append(*r, value)
	return nil
}

func connectionFlags(flags *flag.FlagSet) *connectionOptions {
	options := &connectionOptions{}
	flags.SetOutput(io.Discard)
	flags.StringVar(&options.settingsFile, "settings", "", "")
	flags.Var(&options.set, "set", "")
	flags.StringVar(&options.credentialEnv, "credential-env", "", "")
	flags.StringVar(&options.credentialFile, "credential", "", "")
	flags.StringVar(&options.record, "record", "", "")
	flags.StringVar(&options.replay, "replay", "", "")
	flags.BoolVar(&options.asJSON, "json", false, "")
	return options
}

func (o *connectionOptions) connection(manifest *manifest) (*connection, error) {
	settings, err := o.settings(manifest.settings)
	if err != nil {
		return nil, err
	}
	text, err := o.credentialText()
	if err != nil {
		return nil, err
	}
	credential, err := credentialOf(manifest.Auth, text)
	if err != nil {
		return nil, err
	}
	return &connection{settings, credential}, nil
}

// settings are the schema's defaults, then the file, then what was set.
func (o *connectionOptions) settings(schema map[string]any) (*structpb.Struct, error) {
	properties, _ := schema["properties"].(map[string]any)
	values := map[string]any{}
	for name, property := range properties {
		if property, ok := property.(map[string]any); ok && property["default"] != nil {
			values[name] = property["default"]
		}
	}
	if o.settingsFile != "" {
		text, err := os.ReadFile(o.settingsFile)
		if err != nil {
			return nil, errUsage{err}
		}
		if err := json.Unmarshal(text, &values); err != nil {
			return nil, errUsage{fmt.Errorf("%s is no JSON object: %w", o.settingsFile, err)}
		}
	}
	for _, setting := range o.set {
		name, value, ok := strings.Cut(setting, "=")
		if !ok {
			return nil, errUsage{fmt.Errorf("write --set NAME=VALUE, not %q", name)}
		}
		values[name] = settingValue(properties[name], value)
	}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if name, ok := name.(string); ok && values[name] == nil {
			return nil, errUsage{fmt.Errorf("the setting %s is missing: give --set %s=VALUE", name, name)}
		}
	}
	return protoStruct(values)
}

// settingValue is a text where the schema wants one, else JSON where it is JSON.
func settingValue(property any, text string) any {
	schema, _ := property.(map[string]any)
	var value any
	if schema["type"] == "string" || json.Unmarshal([]byte(text), &value) != nil {
		return text
	}
	return value
}

func (o *connectionOptions) credentialText() (string, error) {
	switch {
	case o.credentialEnv != "" && o.credentialFile != "":
		return "", errUsage{errors.New("give --credential-env or --credential, not both")}
	case o.credentialEnv != "":
		text, ok := os.LookupEnv(o.credentialEnv)
		if !ok {
			return "", errUsage{fmt.Errorf("the environment has no %s", o.credentialEnv)}
		}
		return text, nil
	case o.credentialFile != "":
		text, err := os.ReadFile(o.credentialFile)
		if err != nil {
			return "", errUsage{err}
		}
		return strings.TrimRight(string(text), "\r\n"), nil
	}
	return "", nil
}

// credentialOf is what a call authenticates with, of a text that a person kept: a key or token as it is, user:password, or a
// JSON object with the names of auth.fields (access_token for OAuth; extras beside it).
func credentialOf(auth manifestAuth, text string) (*connectorpb.Credential, error) {
	if text == "" {
		return nil, nil
	}
	fields, extras := map[string]string{}, map[string]string{}
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		var given map[string]any
		if json.Unmarshal([]byte(text), &given) != nil {
			return nil, errUsage{errors.New("the credential begins as JSON and is none")}
		}
		inner, _ := given["extras"].(map[string]any)
		for name, value := range inner {
			extras[name] = fmt.Sprint(value)
		}
		for name, value := range given {
			if text, ok := value.(string); ok {
				fields[name] = text
			}
		}
	} else if auth.Type == "basic" {
		fields["username"], fields["password"], _ = strings.Cut(text, ":")
	} else {
		fields[auth.secretName()] = text
	}
	credential := &connectorpb.Credential{Extras: extras}
	if auth.Type == "oauth2" {
		credential.Kind = &connectorpb.Credential_Oauth2{Oauth2: &connectorpb.OAuthToken{
			AccessToken: fields["access_token"], TokenType: fields["token_type"]}}
	} else {
		credential.Kind = &connectorpb.Credential_Fields{Fields: &connectorpb.FieldsCredential{Values: fields}}
	}
	return credential, nil
}

// secretName is the field that a text alone is meant for.
func (a manifestAuth) secretName() string {
	for _, field := range a.Fields {
		if field.isSecret() {
			return field.Name
		}
	}
	if a.Type == "oauth2" {
		return "access_token"
	}
	return standardSecret[a.Type]
}
