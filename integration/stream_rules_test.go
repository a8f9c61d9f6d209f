package integration

import "fmt"

// The rules of streams. Each decides about many segments by its dice.
var (
	loseSome   = onData("lose", "2%", `"drop"`)
	keepSome   = onData("keep", "2%", `{ hold = { until = "next", timeout = "5ms" } }`)
	doubleSome = onData("double", "5%", `{ duplicate = { copies = 2, after = "300us" } }`)
	delaySome  = onData("late", "30%", `{ delay = { by = "500us", jitter = "300us" } }`)
)

// More of them, of actions that send other segments than came in.
var (
	reorderSome = onData("reorder", "3%", `{ reorder = { behind = 3, timeout = "2ms" } }`)
	splitSome   = onData("split", "20%", `{ split = 500 }`)
	limitAll    = onData("limit", "100%", `{ rate = { limit = "400mbit", burst = "64KiB", queue = "32MiB" } }`)
	shorten     = onData("shorten", "100%", `{ replace = { find = "needle", with = "pin" } }`)
)

// lengthen is for one sender alone.
const lengthen = `
[[rule]]
name   = "lengthen"
match  = { segment = "data", from = "server" }
action = { replace = { find = "needle", with = "knitting-needle" } }
`

// onData is a rule on so many of the segments with data.
func onData(name, often, action string) string {
	return fmt.Sprintf("[[rule]]\nname = %q\nmatch = { segment = \"data\" }\nprobability = %q\naction = %s\n", name, often, action)
}
