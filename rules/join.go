package rules

import "fmt"

// Join puts sets one after the other into one. The last that has a title or a seed
// sets it. It refuses two rules of one name; otherwise their text, and
// their places in it, stay as they are.
func Join(sets ...*Set) (*Set, error) {
	whole := &Set{byName: make(map[string]*Rule)}
	for _, s := range sets {
		if s.Title != "" {
			whole.Title = s.Title
		}
		if s.HasSeed {
			whole.Seed, whole.HasSeed = s.Seed, true
		}
		for _, r := range s.Rules {
			if other := whole.byName[r.Name]; other != nil {
				return nil, &NameTaken{r.Name, other}
			}
			joined := *r
			joined.Index = len(whole.Rules)
			whole.Rules = append(whole.Rules, &joined)
			whole.byName[r.Name] = &joined
		}
	}
	return whole, nil
}

// NameTaken is the error of Join: two sets have a rule of the same name.
type NameTaken struct {
	Name  string
	First *Rule // the one that has it already
}

// Error names the rule and where the first of that name stands.
func (e *NameTaken) Error() string {
	return fmt.Sprintf("%q is already the name of the rule at %s:%d", e.Name, e.First.File, e.First.Line)
}
