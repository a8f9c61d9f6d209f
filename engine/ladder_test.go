package engine_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/ladder"
)

// wrap moves the numbers of both endpoints to just below 2^32, so that they
// pass zero within the first bytes of each ladder.
func wrap(before uint32) [2]uint32 {
	isn := ladder.DefaultISN()
	return [2]uint32{math.MaxUint32 - before - isn[0], math.MaxUint32 - before - isn[1]}
}

// Each ladder shows one phenomenon, and shows it wherever the numbers lie, with
// both versions of IP, and whether or not somebody listens.
func TestLadders(t *testing.T) {
	files, err := filepath.Glob("testdata/*.ladder")
	if err != nil || len(files) == 0 {
		t.Fatalf("ladders: %d, %v", len(files), err)
	}
	ways := []struct {
		name string
		ladder.Options
	}{
		{"plain", ladder.Options{}},
		{"wrapping at the SYN", ladder.Options{Shift: wrap(0)}},
		{"wrapping in the data", ladder.Options{Shift: wrap(50)}},
		{"half way round", ladder.Options{Shift: [2]uint32{1 << 31, 1<<31 - 100}}},
		{"IPv6", ladder.Options{IP: 6}},
		{"unwatched", ladder.Options{Quiet: true}},
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".ladder"), func(t *testing.T) {
			script, err := ladder.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, way := range ways {
				if !play(t, script, way.name, way.Options) {
					break // the others would repeat it
				}
			}
		})
	}
}

// play plays a script in one way and tells whether it went as it says.
func play(t *testing.T, script *ladder.Script, way string, opts ladder.Options) bool {
	t.Helper()
	r := script.Play(opts)
	if r.Err == nil {
		return true
	}
	var text strings.Builder
	r.WriteText(&text)
	t.Errorf("%s:\n%s", way, text.String())
	return false
}
