package schema

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	_ "github.com/tcpmangle/tcpmangle/engine" // registers the faults
	"github.com/tcpmangle/tcpmangle/lab"
)

var update = flag.Bool("update", false, "write the schema anew")

const published = "../../docs/tcpmangle.schema.json"

func TestPublishedSchemaIsTrue(t *testing.T) {
	if *update {
		if err := os.WriteFile(published, JSON(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(published)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, JSON()) {
		t.Errorf("%s is not what the readers know; run: go test ./internal/schema -update", published)
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(JSON()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("tcpmangle.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("tcpmangle.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchemaAgreesWithTheReader: what the reader takes the schema takes, and what the
// reader does not know the schema refuses.
func TestSchemaAgreesWithTheReader(t *testing.T) {
	s := compile(t)
	good, unknown := 0, 0
	for _, pattern := range []string{
		"../../examples/*/*.toml", "../../examples/*/*/*.toml", "../../rules/testdata/*.toml",
		"../../lab/testdata/*.toml", "../../integration/testdata/*.toml",
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var data map[string]any
			if toml.Unmarshal(text, &data) != nil {
				continue // no TOML, so nothing for a schema
			}
			_, refused := lab.Parse(path, string(text))
			err = s.Validate(plain(data))
			switch {
			case refused == nil:
				good++
				if err != nil {
					t.Errorf("%s is a good file; the schema says: %v", path, err)
				}
			case strings.Contains(refused.Error(), "unknown key"), strings.Contains(refused.Error(), "unknown action"):
				unknown++
				if err == nil {
					t.Errorf("%s: the schema takes what the reader refuses: %v", path, refused)
				}
			}
		}
	}
	if good < 20 || unknown < 5 {
		t.Errorf("only %d good files and %d with unknown keys were found", good, unknown)
	}
}

// plain is data with the types that a schema is checked against.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	case []map[string]any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plain(v[i])
		}
		return list
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}
