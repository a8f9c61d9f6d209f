package control

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/rules"
)

func (s *Server) listRules(w http.ResponseWriter, _ *http.Request) error {
	return s.answerRules(w)
}

func (s *Server) answerRules(w http.ResponseWriter) error {
	list := s.rules()
	w.Header().Set("ETag", strconv.Quote(strconv.FormatUint(list.Generation, 10)))
	return answer(w, http.StatusOK, list)
}

// rules lists those in force in the API's words.
func (s *Server) rules() *client.Rules {
	held := s.cfg.Engine.Held()
	out := &client.Rules{Seed: s.cfg.Engine.Seed(), Rules: []client.Rule{}}
	s.book.look(func(set *rules.Set, reports []engine.RuleReport) {
		out.Generation, out.Title = s.book.generation, set.Title
		for i, rep := range reports {
			out.Rules = append(out.Rules, ruleOf(set.Rules[i], rep, s.book.layerOf[rep.Name], held[rep.Name]))
		}
	})
	return out
}

func ruleOf(r *rules.Rule, rep engine.RuleReport, layer string, held int) client.Rule {
	out := client.Rule{
		Name: r.Name, Fired: rep.Fired, Enabled: rep.Enabled, Optional: rep.Optional, Held: held,
		Actions: []string{}, Layer: layer, File: r.File, Line: r.Line, WhyNot: rep.WhyNot,
	}
	for _, a := range r.Actions {
		out.Actions = append(out.Actions, a.Name)
	}
	return out
}

func (s *Server) showRule(w http.ResponseWriter, r *http.Request) error {
	return s.answerRule(w, r.PathValue("rule"))
}

func (s *Server) answerRule(w http.ResponseWriter, name string) error {
	for _, r := range s.rules().Rules {
		if r.Name == name {
			return answer(w, http.StatusOK, r)
		}
	}
	return noRule(name)
}

func noRule(name string) error { return refuse(http.StatusNotFound, "there is no rule %q", name) }

// setRules puts other files in the place of the instance's: one as a text, or several in JSON. No
// text of rules begins as an object does.
func (s *Server) setRules(w http.ResponseWriter, r *http.Request) error {
	generation, err := ifMatch(r)
	if err != nil {
		return err
	}
	text, err := readText(w, r)
	if err != nil {
		return err
	}
	files := []rules.Text{{File: cmp.Or(r.URL.Query().Get("file"), "body"), Text: text}}
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		if files, err = readFiles(r, text); err != nil {
			return err
		}
	}
	set, err := s.cfg.Read(files...)
	if err != nil {
		return &badFiles{err}
	}
	if err := s.book.SetFilesAt(set, generation); err != nil {
		return err
	}
	s.reloaded(set)
	return s.answerRules(w)
}

// readFiles reads files that are sent as JSON.
func readFiles(r *http.Request, text string) (files []rules.Text, err error) {
	var in client.Files
	if err := decodeJSON(strings.NewReader(text), &in); err != nil {
		return nil, err
	}
	if r.URL.Query().Has("file") {
		return nil, refuse(http.StatusBadRequest, "file names the text of one file; these have names of their own")
	}
	if in.Files == nil {
		return nil, refuse(http.StatusBadRequest, "files is missing; an empty list is none")
	}
	for i, f := range in.Files {
		if f.Name == "" {
			return nil, refuse(http.StatusBadRequest, "file %d has no name", i+1)
		}
		files = append(files, rules.Text{File: f.Name, Text: f.Text})
	}
	return files, nil
}

// ifMatch reads the generation on which a change is based; 0 is any.
func ifMatch(r *http.Request) (uint64, error) {
	tag := r.Header.Get("If-Match")
	if tag == "" || tag == "*" {
		return 0, nil
	}
	n, err := strconv.ParseUint(strings.Trim(tag, `"`), 10, 64)
	if err != nil || n == 0 {
		return 0, refuse(http.StatusBadRequest, "If-Match: %s is no generation of the rules", tag)
	}
	return n, nil
}

func (s *Server) reload(w http.ResponseWriter, _ *http.Request) error {
	if err := s.Reload(); err != nil {
		return err
	}
	return s.answerRules(w)
}

func (s *Server) enableRule(w http.ResponseWriter, r *http.Request) error {
	return s.eachBox(w, r, func(b *engine.Box, _ time.Duration, name string) bool { return b.Enable(name, true) })
}

func (s *Server) disableRule(w http.ResponseWriter, r *http.Request) error {
	return s.eachBox(w, r, func(b *engine.Box, _ time.Duration, name string) bool { return b.Enable(name, false) })
}

func (s *Server) releaseRule(w http.ResponseWriter, r *http.Request) error {
	return s.eachBox(w, r, func(b *engine.Box, now time.Duration, name string) bool { return b.Release(now, name) })
}

// eachBox does something with the rule that a path names, and answers with the rule.
func (s *Server) eachBox(w http.ResponseWriter, r *http.Request, do func(*engine.Box, time.Duration, string) (known bool)) error {
	name, known := r.PathValue("rule"), false
	if err := s.cfg.Engine.Call(func(b *engine.Box, now time.Duration) { known = do(b, now, name) || known }); err != nil {
		return err
	}
	if !known {
		return noRule(name)
	}
	return s.answerRule(w, name)
}

// release lets go everything that is held.
func (s *Server) release(w http.ResponseWriter, _ *http.Request) error {
	return s.done(w, func(b *engine.Box, now time.Duration) { b.ReleaseAll(now) })
}

// heal ends all faults.
func (s *Server) heal(w http.ResponseWriter, _ *http.Request) error {
	return s.done(w, (*engine.Box).Heal)
}

// done does something with each Box, and answers that it is done.
func (s *Server) done(w http.ResponseWriter, do func(*engine.Box, time.Duration)) error {
	if err := s.cfg.Engine.Call(do); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func nothing(*engine.Box, time.Duration) {}
