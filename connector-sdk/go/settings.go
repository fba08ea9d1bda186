package connector

import (
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"
)

// parseSettings reads settings into the author's type. What a person entered, which may be a secret, is not in the error.
func parseSettings[S any](settings *structpb.Struct) (S, *Error) {
	var parsed S
	text, err := json.Marshal(settings.AsMap())
	if err == nil {
		err = json.Unmarshal(text, &parsed)
	}
	if err == nil {
		return parsed, nil
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		fault := Errorf(SettingsInvalid, "the setting %q is not of its kind, %s", wrongType.Field, wrongType.Type)
		return parsed, fault.WithMetadata("field", wrongType.Field)
	}
	return parsed, Errorf(SettingsInvalid, "the settings cannot be read: a value is refused (%s)", kindOf(err))
}

// secretSettings are the values of those settings that the schema marks x-secret.
func secretSettings(schema map[string]any, value any) []string {
	if secret, _ := schema["x-secret"].(bool); secret {
		return texts(value)
	}
	var found []string
	switch value := value.(type) {
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		for name, entry := range value {
			if property, ok := properties[name].(map[string]any); ok {
				found = append(found, secretSettings(property, entry)...)
			}
		}
	case []any:
		items, _ := schema["items"].(map[string]any)
		for _, entry := range value {
			found = append(found, secretSettings(items, entry)...)
		}
	}
	return found
}

// texts are all values within a value, as they would be written.
func texts(value any) []string {
	var found []string
	switch value := value.(type) {
	case nil, bool:
	case map[string]any:
		for _, entry := range value {
			found = append(found, texts(entry)...)
		}
	case []any:
		for _, entry := range value {
			found = append(found, texts(entry)...)
		}
	default:
		found = append(found, fmt.Sprint(value))
	}
	return found
}

func plural(count int, noun string) string {
	if count == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", count, noun)
}
