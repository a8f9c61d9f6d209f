// Command report reads the JSON output of go test: it prints what failed with
// its output, what was skipped, and last a line that counts the tests.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

type event struct{ Action, Package, Test, Output string }

func main() {
	f, err := os.Open(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer f.Close()
	counts := map[string]int{}
	output := map[string][]string{}
	var failed, skipped []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text()) // a build error
			continue
		}
		name := strings.TrimSuffix(e.Package+"."+e.Test, ".")
		switch e.Action {
		case "output", "build-output":
			output[name] = append(output[name], e.Output)
		case "fail":
			failed = append(failed, name)
		case "skip":
			skipped = append(skipped, name)
		}
		if e.Test != "" {
			counts[e.Action]++
		}
	}
	slices.Sort(skipped)
	for _, name := range failed {
		fmt.Printf("--- failed: %s\n%s\n", name, strings.Join(output[name], ""))
	}
	for _, name := range skipped {
		if len(output[name]) > 0 && !strings.Contains(strings.Join(output[name], ""), "[no test files]") {
			fmt.Printf("skipped: %s\n", name)
		}
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", counts["pass"], counts["fail"], counts["skip"])
}
