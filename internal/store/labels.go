package store

import (
	"encoding/json"
	"fmt"
)

// encodeLabels makes the JSON of a unit's labels; its keys come sorted.
func encodeLabels(labels map[string]string) (string, error) {
	if len(labels) == 0 {
		return "{}", nil
	}
	text, err := json.Marshal(labels)
	if err != nil {
		return "", fmt.Errorf("encode labels: %w", err)
	}
	return string(text), nil
}

func decodeLabels(text []byte, labels *map[string]string) error {
	if err := json.Unmarshal(text, labels); err != nil {
		return fmt.Errorf("decode labels: %w", err)
	}
	return nil
}
