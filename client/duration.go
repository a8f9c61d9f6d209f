package client

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// A Duration is a number of seconds in JSON, as the times of events are. It is also
// read from text with a unit, as rule files have it: "1m30s".
type Duration time.Duration

// String is the duration with its unit.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes seconds.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).Seconds()) }

// UnmarshalJSON reads seconds, or text with a unit.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
		return nil
	case float64:
		if math.Abs(v) >= math.MaxInt64/float64(time.Second) {
			return fmt.Errorf("%v seconds are more than a duration holds", v)
		}
		*d = Duration(math.Round(v * float64(time.Second)))
		return nil
	case string:
		parsed, err := time.ParseDuration(v)
		if err != nil {
			return fmt.Errorf(`%q is not a duration; write seconds, or "1.5s"`, v)
		}
		*d = Duration(parsed)
		return nil
	}
	return fmt.Errorf(`%s is not a duration; write seconds, or "1.5s"`, data)
}
