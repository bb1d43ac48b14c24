package main

import (
	"encoding/json"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Template is the OCI spec that every peer shares.
type Template string

func readTemplate(path string) (Template, error) {
	text, err := os.ReadFile(path)
	return Template(text), err
}

// render gives the spec of one session as JSON.
func (t Template) render(id string) []byte {
	return []byte(strings.ReplaceAll(string(t), "@ID@", id))
}

func (t Template) parse(id string) (*specs.Spec, error) {
	var spec specs.Spec
	return &spec, json.Unmarshal(t.render(id), &spec)
}
