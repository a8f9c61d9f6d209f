package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

const (
	incidents = "../examples/incidents"
	// incidentsAtOnce is how many run side by side. They wait most of the time, but
	// among their programs are some that begin with a second of work.
	incidentsAtOnce = 4
)

// TestIncidents runs every incident, and its cure, against the real programs: over
// IPv4 with super-packets, and over IPv6 with one segment a read. A machine that lacks
// a program skips what needs it, or fails it where TCPMANGLE_REQUIRE_INCIDENTS=1.
func TestIncidents(t *testing.T) { // not beside others, whom its programs would disturb
	buildOnce(t)
	var wg sync.WaitGroup
	slots := make(chan struct{}, incidentsAtOnce)
	for _, file := range incidentFiles(t) {
		for _, o := range []lab.Options{{IP: 4, Offload: tunnel.On}, {IP: 6, Offload: tunnel.Off}} {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				t.Run(incidentName(file), func(t *testing.T) {
					needPrograms(t, file)
					lab.Run(t, file, o)
				})
			})
		}
	}
	wg.Wait()
}

func incidentFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(incidents + "/*/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no incidents found: %v", err)
	}
	return files
}

// incidentName is like keepalive-race/nginx.
func incidentName(file string) string {
	name, _ := filepath.Rel(incidents, strings.TrimSuffix(file, ".toml"))
	return name
}

// buildOnce compiles the programs of the folder once, and not in each lab that runs one.
func buildOnce(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		return // the labs that need it say so
	}
	if out, err := exec.Command("go", "build", incidents+"/...").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

var needs = regexp.MustCompile(`(?m)^# needs: (.*)$`)

// needed are the programs that a file says it needs.
func needed(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line := needs.FindSubmatch(text)
	if line == nil {
		t.Fatalf("%s does not say what it needs", file)
	}
	return strings.Split(string(line[1]), ", ")
}

// needPrograms skips, or fails, what this machine lacks a program for.
func needPrograms(t *testing.T, file string) {
	t.Helper()
	script := incidents + "/install.sh"
	out, err := exec.Command(script, append([]string{"--missing"}, needed(t, file)...)...).Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	missing := strings.Join(strings.Fields(string(out)), ", ")
	switch {
	case missing == "":
	case os.Getenv("TCPMANGLE_REQUIRE_INCIDENTS") == "1":
		t.Fatalf("this machine lacks %s", missing)
	default:
		t.Skipf("this machine lacks %s; examples/incidents/install.sh installs it", missing)
	}
}

// Every incident has its page, which leads to each of its files; every cure has an
// incident; and no page has a link that leads nowhere.
func TestIncidentsHavePages(t *testing.T) {
	linked := map[string]bool{}
	pages, _ := filepath.Glob(incidents + "/*/README.md")
	for _, page := range append(pages, incidents+"/README.md") {
		for _, target := range links(t, page) {
			linked[target] = true
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s leads to %s, which is not there", page, target)
			}
		}
	}
	cured := map[string]bool{}
	for _, file := range incidentFiles(t) {
		folder := filepath.Dir(file)
		if !linked[file] {
			t.Errorf("no page leads to %s", file)
		}
		if !linked[folder] {
			t.Errorf("%s/README.md does not lead to %s", incidents, folder)
		}
		incident, isCure := strings.CutSuffix(file, "-cured.toml")
		cured[folder] = cured[folder] || isCure
		if _, err := os.Stat(incident + ".toml"); isCure && err != nil {
			t.Errorf("%s cures nothing", file)
		}
	}
	for folder, ok := range cured {
		if !ok {
			t.Errorf("%s has no cure", folder)
		}
	}
}

var linkTo = regexp.MustCompile(`\]\(([^)#]+)\)`)

// links are the files that a page leads to.
func links(t *testing.T, page string) (targets []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range linkTo.FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(m[1], "://") {
			targets = append(targets, filepath.Join(filepath.Dir(page), m[1]))
		}
	}
	return targets
}
