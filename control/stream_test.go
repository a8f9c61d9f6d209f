package control

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A patience is a reader's, as the stream sets it.
type patience struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (p *patience) SetWriteDeadline(t time.Time) error {
	p.until = t
	return nil
}

// Who has not been waited for yet when the stream ends is not waited for long, either.
func TestStreamEndsSoon(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, most := range []time.Duration{writeTime, lastTime} {
		p := &patience{ResponseRecorder: httptest.NewRecorder()}
		s := &stream{w: p, control: http.NewResponseController(p)}
		before := time.Now()
		if err := s.write(ctx, [][]byte{[]byte("{}\n")}); err != nil || p.Body.String() != "{}\n" {
			t.Errorf("%v, %s", err, p.Body)
		}
		if p.until.Before(before.Add(most)) || p.until.After(time.Now().Add(most)) {
			t.Errorf("waits until %v, want %v", p.until.Sub(before), most)
		}
		cancel()
	}
}
