package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/capture"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// trouble is a folder with a capture, trouble.pcapng, of one connection that the client
// closes first, and rule files.
func trouble(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	w, err := capture.Create(filepath.Join(dir, "trouble.pcapng"), capture.Options{Start: time.Unix(1767225600, 0)}, "eth0")
	if err != nil {
		t.Fatal(err)
	}
	for i, data := range closing() {
		w.Packet(0, time.Duration(i)*10*time.Millisecond, data, "")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range replayRules {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// closing is a connection's segments.
func closing() (packets [][]byte) {
	client, server := netip.MustParseAddrPort("192.0.2.9:40000"), netip.MustParseAddrPort("192.0.2.1:8080")
	add := func(src, dst netip.AddrPort, flags wire.Flags, seq, ack uint32, data string) {
		b := wire.Build{Src: src, Dst: dst, Flags: flags, Seq: seq, Ack: ack, Window: 1000, Payload: []byte(data)}
		packets = append(packets, b.Append(nil))
	}
	add(client, server, wire.SYN, 100, 0, "")
	add(server, client, wire.SYN|wire.ACK, 500, 101, "")
	add(client, server, wire.ACK, 101, 501, "")
	add(client, server, wire.ACK|wire.PSH, 101, 501, "ping")
	add(client, server, wire.ACK|wire.FIN, 105, 501, "")
	add(server, client, wire.ACK|wire.FIN, 501, 106, "")
	add(client, server, wire.ACK, 106, 502, "")
	return packets
}

var replayRules = map[string]string{
	"lose-fin.toml": `
[[rule]]
name   = "lose-fin"
match  = { segment = "first-fin" }
action = "drop"
`,
	"late-data.toml": `
seed = 9

[[rule]]
name   = "late-data"
match  = { segment = "data" }
action = { delay = { by = "1h" } }
`,
	"never.toml": `
[[rule]]
name   = "never"
match  = { segment = "rst" }
action = "drop"
`,
	"why.toml": `
[[rule]]
name     = "elsewhere"
match    = { port = 9 }
action   = "drop"
optional = true

[[rule]]
name   = "lose-fin"
match  = { segment = "first-fin" }
action = "drop"

[[rule]]
name     = "answers"
match    = { segment = "data", from = "server" }
action   = "drop"
optional = true

[[rule]]
name   = "old"
at     = { age = "45ms" }
action = { tag = "old" }
`,
	"perhaps.toml": `
[[rule]]
name     = "perhaps"
match    = { segment = "rst" }
action   = "drop"
optional = true
`,
}

func TestReplay(t *testing.T) {
	tests := []struct {
		name, args string
		status     int
	}{
		{"fires", "-f lose-fin.toml trouble.pcapng", 0},
		{"json", "-f lose-fin.toml --json --seed 3 trouble.pcapng", 0},
		{"two-files", "-f lose-fin.toml -f late-data.toml trouble.pcapng", 0},
		{"events", "-f lose-fin.toml --events - trouble.pcapng", 0},
		{"never", "-f never.toml trouble.pcapng", 1},
		{"never-json", "-f never.toml --json trouble.pcapng", 1},
		{"optional", "-f perhaps.toml trouble.pcapng", 0},
		{"one-of-two", "-f lose-fin.toml -f never.toml trouble.pcapng", 1},
		{"explain", "-f why.toml --explain trouble.pcapng", 0},
		{"explain-json", "-f why.toml --explain --json trouble.pcapng", 2},
		{"explain-events", "-f why.toml --explain --events - trouble.pcapng", 2},
		{"two-captures", "-f lose-fin.toml trouble.pcapng trouble.pcapng", 2},
		{"events-nowhere", "-f lose-fin.toml --events nowhere/out trouble.pcapng", 2},
		{"write-nowhere", "-f lose-fin.toml -w nowhere/out trouble.pcapng", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := command(t, append([]string{"replay"}, strings.Fields(tt.args)...)...)
			cmd.Dir = trouble(t)
			o := finish(t, cmd)
			o.wants(t, tt.status)
			same(t, filepath.Join("testdata", "replay", tt.name+".txt"), session("tcpmangle replay "+tt.args, o))
		})
	}
}

// Of a capture that is cut within a packet, what is whole is replayed, and that is said.
func TestReplayOfACutCapture(t *testing.T) {
	t.Parallel()
	dir := trouble(t)
	whole, err := os.ReadFile(filepath.Join(dir, "trouble.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "replay", "-f", "lose-fin.toml", "cut.pcapng")
	cmd.Dir = dir
	write := func(length int) {
		if err := os.WriteFile(filepath.Join(dir, "cut.pcapng"), whole[:length], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(len(whole) - 9) // the last of seven packets lacks its end
	o := finish(t, cmd)
	o.wants(t, 0)
	if want := "tcpmangle: cut.pcapng ends within a packet: what came after 6 packets is missing\n"; o.stderr != want {
		t.Errorf("got %q, want %q", o.stderr, want)
	}
	has(t, "report", o.stdout, "cut.pcapng: 6 packets in 50ms", "rule \"lose-fin\" fired once")

	cmd = command(t, "replay", "-f", "lose-fin.toml", "cut.pcapng")
	cmd.Dir = dir
	write(20) // not even the head is whole
	o = finish(t, cmd)
	o.wants(t, 2)
	has(t, "standard error", o.stderr, "cut.pcapng: capture: unexpected EOF")
}

// Rules may come from a pipe, as a shell's <(...) is one. A capture is read twice, and may not.
func TestReplayFromAPipe(t *testing.T) {
	t.Parallel()
	dir := trouble(t)
	replay := func(args, stdin string) outcome {
		cmd := command(t, append([]string{"replay"}, strings.Fields(args)...)...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		return finish(t, cmd)
	}
	o := replay("-f /dev/stdin trouble.pcapng", replayRules["lose-fin.toml"])
	o.wants(t, 0)
	has(t, "report", o.stdout, "rule \"lose-fin\" fired once")

	o = replay("-f lose-fin.toml /dev/stdin", "")
	o.wants(t, 2)
	has(t, "standard error", o.stderr, "tcpmangle: a capture is read twice: /dev/stdin: it is no regular file, and cannot be read again\n")
}

// -w and --pcap write the same: the lost FIN is on its sender's side only.
func TestReplayWrites(t *testing.T) {
	for _, flag := range []string{"-w", "--write", "--pcap"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			cmd := command(t, "replay", "-f", "lose-fin.toml", "trouble.pcapng", flag, "what-if.pcapng")
			cmd.Dir = trouble(t)
			finish(t, cmd).wants(t, 0)
			packets, lost := readCapture(t, filepath.Join(cmd.Dir, "what-if.pcapng")), 0
			for _, p := range packets {
				if strings.HasPrefix(p.comment, "drop by lose-fin; client FIN_WAIT_1") && p.side == clientSide {
					lost++
				}
			}
			if len(packets) != 2*7-1 || lost != 1 {
				t.Errorf("%d packets, %d of them lost, want 13 and 1", len(packets), lost)
			}
		})
	}
}

// The input is not written over.
func TestReplayOntoItself(t *testing.T) {
	cmd := command(t, "replay", "-f", "lose-fin.toml", "trouble.pcapng", "-w", "trouble.pcapng")
	cmd.Dir = trouble(t)
	before, err := os.ReadFile(filepath.Join(cmd.Dir, "trouble.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	o := finish(t, cmd)
	o.wants(t, 2)
	after, _ := os.ReadFile(filepath.Join(cmd.Dir, "trouble.pcapng"))
	if string(after) != string(before) {
		t.Error("the capture is overwritten")
	}
	has(t, "standard error", o.stderr, "tcpmangle: ")
}
