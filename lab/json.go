package lab

import (
	"encoding/json"
	"io"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
)

// WriteJSON writes the result for programs, as one object on one line. Times are
// seconds since the client's start.
func (r *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(r.asJSON())
}

// seconds is a duration as JSON has it.
func seconds(d time.Duration) float64 { return d.Round(time.Microsecond).Seconds() }

// The shapes of the JSON; the keys are stable.
type (
	resultJSON struct {
		File         string            `json:"file"`
		Title        string            `json:"title"`
		IP           int               `json:"ip"`
		Offload      bool              `json:"offload"`
		Workers      int               `json:"workers"`
		Steering     string            `json:"steering"`
		Seed         uint64            `json:"seed"`
		Verdict      string            `json:"verdict"`
		Interrupted  bool              `json:"interrupted"`
		Duration     float64           `json:"duration"`
		Expectations []expectationJSON `json:"expectations"`
		Problems     []string          `json:"problems"`
		Steps        []stepJSON        `json:"steps"`
		Rules        []ruleJSON        `json:"rules"`
		Agreement    agreementJSON     `json:"agreement"`
		Client       sideJSON          `json:"client"`
		Server       sideJSON          `json:"server"`
		Segments     uint64            `json:"segments"`
		RingDrops    uint64            `json:"ring_drops"`
	}
	expectationJSON struct {
		Text    string  `json:"text"`
		Verdict string  `json:"verdict"`
		Why     string  `json:"why,omitempty"`
		At      float64 `json:"at"`
	}
	stepJSON struct {
		Text string  `json:"text"`
		At   float64 `json:"at"`
	}
	ruleJSON struct {
		Name     string `json:"name"`
		Fired    uint64 `json:"fired"`
		Optional bool   `json:"optional"`
		Enabled  bool   `json:"enabled"`
		WhyNot   string `json:"why_not,omitempty"`
	}
	agreementJSON struct {
		OK          bool             `json:"ok"`
		Compared    int              `json:"compared"`
		Agreed      int              `json:"agreed"`
		Longest     float64          `json:"longest"`
		Differences []differenceJSON `json:"differences"`
		Silent      []silentJSON     `json:"silent"`
		Refused     []refusalJSON    `json:"refused"`
	}
	differenceJSON struct {
		Client   string  `json:"client"`
		Server   string  `json:"server"`
		Host     string  `json:"host"`
		Inferred string  `json:"inferred"`
		Kernel   string  `json:"kernel"`
		At       float64 `json:"at"`
		For      float64 `json:"for"`
	}
	silentJSON struct {
		Client string  `json:"client"`
		Server string  `json:"server"`
		Host   string  `json:"host"`
		State  string  `json:"state"`
		At     float64 `json:"at"`
	}
	refusalJSON struct {
		Client   string  `json:"client"`
		Server   string  `json:"server"`
		Host     string  `json:"host"`
		Why      string  `json:"why"`
		Inferred string  `json:"inferred"`
		Kernel   string  `json:"kernel"`
		At       float64 `json:"at"`
	}
	sideJSON struct {
		Output []lineJSON  `json:"output"`
		Unkept int         `json:"unkept,omitempty"` // lines of output
		Errors []errorJSON `json:"errors"`
		Exit   []exitJSON  `json:"exit"`
	}
	lineJSON struct {
		Line
		At float64 `json:"at"`
	}
	errorJSON struct {
		ScriptError
		At float64 `json:"at"`
	}
	exitJSON struct {
		Exit
		At float64 `json:"at"`
	}
)

func (r *Result) asJSON() resultJSON {
	return resultJSON{
		File: r.File, Title: r.Title, IP: r.IP, Offload: r.Offload, Seed: r.Seed,
		Workers: r.Workers, Steering: r.Steering.String(),
		Verdict: r.Verdict(), Interrupted: r.Interrupted, Duration: seconds(r.Duration),
		Expectations: each(r.Expectations, func(x Expectation) expectationJSON {
			return expectationJSON{x.Text, x.Verdict(), x.Why, seconds(x.At)}
		}),
		Problems: each(r.Problems, func(p string) string { return p }),
		Steps:    each(r.Steps, func(s Step) stepJSON { return stepJSON{s.Text, seconds(s.At)} }),
		Rules: each(r.Rules, func(rep engine.RuleReport) ruleJSON {
			return ruleJSON{rep.Name, rep.Fired, rep.Optional, rep.Enabled, rep.WhyNot}
		}),
		Agreement: r.agreementJSON(),
		Client:    r.sideJSON(r.Client),
		Server:    r.sideJSON(r.Server),
		Segments:  r.Stats.Segments,
		RingDrops: r.RingDrops,
	}
}

func (r *Result) agreementJSON() agreementJSON {
	a := r.Agreement
	return agreementJSON{
		OK: a.OK, Compared: a.Compared, Agreed: a.Agreed, Longest: seconds(a.Longest),
		Differences: each(a.Differences, func(d Difference) differenceJSON {
			return differenceJSON{d.Client.String(), d.Server.String(), d.Host, d.Inferred.String(), d.Kernel.String(),
				seconds(d.Since), seconds(d.For)}
		}),
		Silent: each(a.Silent, func(s SilentEnd) silentJSON {
			return silentJSON{s.Client.String(), s.Server.String(), s.Host, s.State.String(), seconds(s.At)}
		}),
		Refused: each(a.Refused, func(r Refusal) refusalJSON {
			return refusalJSON{r.Client.String(), r.Server.String(), r.Host, r.Why, r.Inferred.String(), r.Kernel.String(), seconds(r.At)}
		}),
	}
}

func (r *Result) sideJSON(s Side) sideJSON {
	return sideJSON{
		Output: each(s.Output, func(l Line) lineJSON { return lineJSON{l, seconds(l.At)} }),
		Unkept: s.Unkept,
		Errors: each(s.Errors, func(e ScriptError) errorJSON { return errorJSON{e, seconds(e.At)} }),
		Exit:   each(s.Exits, func(e Exit) exitJSON { return exitJSON{e, seconds(e.At)} }),
	}
}

// each converts a list; it is never null in JSON.
func each[S, T any](from []S, as func(S) T) []T {
	to := make([]T, len(from))
	for i := range from {
		to[i] = as(from[i])
	}
	return to
}
