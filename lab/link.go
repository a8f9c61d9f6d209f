package lab

import (
	"fmt"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/rules"
)

// linkPrefix begins the names of the rules that the base path is made of. No rule of
// a file can be called so.
const linkPrefix = "link:"

func isLinkRule(name string) bool { return strings.HasPrefix(name, linkPrefix) }

// crossing is how long a packet may be on the link since one before it has left: its way,
// and its time at the rate.
func (l Link) crossing(bytes int) time.Duration {
	if l.Rate == 0 {
		return l.Delay
	}
	return l.Delay + time.Duration(float64(8*bytes)/float64(l.Rate)*float64(time.Second))
}

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
