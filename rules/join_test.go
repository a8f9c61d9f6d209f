package rules

import (
	"errors"
	"testing"
)

func TestJoin(t *testing.T) {
	a := MustParse("title = \"a\"\nseed = 3\n[[rule]]\nname = \"one\"\naction = \"test-drop\"\n[[rule]]\nname = \"two\"\naction = \"test-drop\"\n")
	b := MustParse("title = \"b\"\n[[rule]]\nname = \"three\"\naction = \"test-drop\"\n")
	whole, err := Join(b, a)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"three", "one", "two"} {
		r := whole.Rules[i]
		if r.Name != name || r.Index != i || whole.Rule(name) != r {
			t.Errorf("rule %d is %q at %d, want %q", i, r.Name, r.Index, name)
		}
	}
	if whole.Title != "a" || whole.Seed != 3 || !whole.HasSeed {
		t.Errorf("title %q, seed %d", whole.Title, whole.Seed)
	}
	if a.Rules[0].Index != 0 || a.Rule("one") != a.Rules[0] {
		t.Error("a set that was joined has changed")
	}
}

func TestJoinRefusesNamesTwice(t *testing.T) {
	a := MustParse("[[rule]]\nname = \"one\"\naction = \"test-drop\"\n")
	_, err := Join(a, a)
	taken, ok := errors.AsType[*NameTaken](err)
	if !ok || taken.Name != "one" || taken.First.Line != 1 {
		t.Errorf("error %v", err)
	}
}
