package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Rules are those in force, in the order in which a segment meets them.
type Rules struct {
	// Generation counts the changes of the rules in force, from 1.
	Generation uint64 `json:"generation"`
	Title      string `json:"title,omitempty"`
	Seed       uint64 `json:"seed"`
	Rules      []Rule `json:"rules"`
}

// A Rule is one of them, and what became of it.
type Rule struct {
	Name     string   `json:"name"`
	Fired    uint64   `json:"fired"`
	Enabled  bool     `json:"enabled"`
	Optional bool     `json:"optional"` // may stay unfired
	Held     int      `json:"held"`     // segments that it holds now
	Actions  []string `json:"actions"`  // their names
	Layer    string   `json:"layer"`    // whose it is: files, or the id of a lease or of a facade
	File     string   `json:"file"`
	Line     int      `json:"line"`
	WhyNot   string   `json:"why_not,omitempty"` // for one that has never fired: what came closest
}

// Rules lists the rules in force.
func (c *Client) Rules(ctx context.Context) (*Rules, error) {
	return c.rules(ctx, http.MethodGet, "/v1/rules")
}

func (c *Client) rules(ctx context.Context, method, path string) (*Rules, error) {
	var out Rules
	if err := c.call(ctx, method, path, nil, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// Rule is the one of a name.
func (c *Client) Rule(ctx context.Context, name string) (*Rule, error) {
	return c.rule(ctx, http.MethodGet, name, "")
}

func (c *Client) rule(ctx context.Context, method, name, verb string) (*Rule, error) {
	var out Rule
	if err := c.call(ctx, method, "/v1/rules/"+url.PathEscape(name)+verb, nil, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// Enable wakes a rule.
func (c *Client) Enable(ctx context.Context, rule string) (*Rule, error) {
	return c.rule(ctx, http.MethodPost, rule, "/enable")
}

// Disable puts a rule to sleep. What it has left behind stays; see Heal.
func (c *Client) Disable(ctx context.Context, rule string) (*Rule, error) {
	return c.rule(ctx, http.MethodPost, rule, "/disable")
}

// ReleaseRule lets go what a rule holds.
func (c *Client) ReleaseRule(ctx context.Context, rule string) (*Rule, error) {
	return c.rule(ctx, http.MethodPost, rule, "/release")
}

// Release lets go everything that is held.
func (c *Client) Release(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/release", nil, nil)
}

// Heal ends all faults: rules sleep, black holes are filled, what is held goes.
func (c *Client) Heal(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/heal", nil, nil)
}

// Reload reads the files of the instance again. A mistake in them changes nothing.
func (c *Client) Reload(ctx context.Context) (*Rules, error) {
	return c.rules(ctx, http.MethodPost, "/v1/reload")
}

// SetRules puts the text of a rule file in the place of the instance's files, until they
// are reloaded. Messages call the text by a file name. A mistake changes nothing.
func (c *Client) SetRules(ctx context.Context, file, text string) (*Rules, error) {
	return c.setRules(ctx, file, text, 0)
}

// SetRulesAt is SetRules unless the rules have changed since a generation: then it is
// refused with the status 412.
func (c *Client) SetRulesAt(ctx context.Context, file, text string, generation uint64) (*Rules, error) {
	return c.setRules(ctx, file, text, generation)
}

func (c *Client) setRules(ctx context.Context, file, text string, generation uint64) (*Rules, error) {
	header := http.Header{"Content-Type": {"application/toml"}}
	if generation > 0 {
		header.Set("If-Match", strconv.Quote(strconv.FormatUint(generation, 10)))
	}
	q := url.Values{"file": {file}}
	resp, err := c.send(ctx, http.MethodPut, "/v1/rules?"+q.Encode(), strings.NewReader(text), header)
	if err != nil {
		return nil, err
	}
	var out Rules
	return &out, decode(resp, &out)
}

// A File is a rule file that was read.
type File struct {
	Name string `json:"name"` // what messages call it
	Text string `json:"text"`
}

// Files are rule files in their order, as PUT /v1/rules takes them.
type Files struct {
	Files []File `json:"files"`
}

// SetFiles is SetRules with several files, which are read in their order as those
// of a call are. The answer to mistakes has those of all files.
func (c *Client) SetFiles(ctx context.Context, files ...File) (*Rules, error) {
	var out Rules
	all := append([]File{}, files...) // none is an empty list, and not null
	if err := c.call(ctx, http.MethodPut, "/v1/rules", Files{all}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}
