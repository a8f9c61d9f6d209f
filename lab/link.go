package lab

import (
	"fmt"
	"strings"

	"github.com/tcpmangle/tcpmangle/rules"
)

// linkPrefix begins the names of the rules that the base path is made of. No rule of
// a file can be called so.
const linkPrefix = "link:"

func isLinkRule(name string) bool { return strings.HasPrefix(name, linkPrefix) }

// withLink is a set with the base path after its rules.
func withLink(set *rules.Set, link Link) *rules.Set {
	text := ""
	if link.Loss > 0 {
		text += fmt.Sprintf("[[rule]]\nname = 'loss'\naction = 'drop'\nprobability = %g\n", link.Loss)
	}
	if link.Rate > 0 {
		text += fmt.Sprintf("[[rule]]\nname = 'rate'\naction = { rate = { limit = '%dbit', shared = true } }\n", link.Rate)
	}
	if link.Delay > 0 {
		text += fmt.Sprintf("[[rule]]\nname = 'delay'\naction = { delay = '%v' }\n", link.Delay)
	}
	if text == "" {
		return set
	}
	whole := *set
	whole.Rules = append([]*rules.Rule(nil), set.Rules...)
	for _, r := range rules.MustParse(text).Rules {
		r.Name, r.Index, r.Optional = linkPrefix+r.Name, len(whole.Rules), true
		whole.Rules = append(whole.Rules, r)
	}
	return &whole
}
