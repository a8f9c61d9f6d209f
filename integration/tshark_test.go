package integration

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A dissection is what tshark has to say of a capture.
type dissection struct {
	packets map[string]int // by the name of the interface
	wrong   []string       // lines about packets that are not in order
	badness int            // how many of these there were
}

// dissect has tshark read a capture, verifying the checksums; needTshark stands before it.
func dissect(t *testing.T, file string) *dissection {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "tshark", "-r", file, "-n",
		"-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "tcp.analyze_sequence_numbers:FALSE",
		"-d", fmt.Sprintf("tcp.port==%d,data", servePort), "-T", "fields", "-E", "separator=|",
		"-e", "frame.interface_name", "-e", "tcp.checksum.status", "-e", "ip.checksum.status", "-e", "_ws.malformed",
		"-e", "tcp.checksum", "-e", "frame.number")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &dissection{packets: map[string]int{}}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		d.read(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("tshark: %v: %s", err, complaint.String())
	}
	return d
}

// needTshark skips where there is no tshark, or fails where TCPMANGLE_REQUIRE_TSHARK=1.
func needTshark(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err == nil {
		return
	}
	if os.Getenv("TCPMANGLE_REQUIRE_TSHARK") == "1" {
		t.Fatal("TCPMANGLE_REQUIRE_TSHARK=1, but tshark is not installed")
	}
	t.Skip("tshark is not installed")
}

// read takes a line: the interface, the state of both checksums (of IPv6 there is
// but one), what is malformed, and the checksum of TCP. 0xffff is the other zero of ones'
// complement: Linux writes it where it cuts a super-packet itself (tcp_gso_segment), and
// tshark wants the common one.
func (d *dissection) read(line string) {
	f := strings.Split(line, "|")
	if len(f) != 6 {
		d.complain(line)
		return
	}
	d.packets[f[0]]++
	good := func(status string) bool { return status == "1" || status == "Good" }
	if !good(f[1]) && f[4] != "0xffff" || f[2] != "" && !good(f[2]) || f[3] != "" {
		d.complain(line)
	}
}

func (d *dissection) complain(line string) {
	if d.badness++; d.badness <= 10 {
		d.wrong = append(d.wrong, line)
	}
}

// isClean wants nothing wrong, and so many packets on each interface.
func (d *dissection) isClean(t *testing.T, want map[string]int) {
	t.Helper()
	for _, w := range d.wrong {
		t.Errorf("tshark finds wrong: %s", w)
	}
	if d.badness > len(d.wrong) {
		t.Errorf("and %d packets more", d.badness-len(d.wrong))
	}
	for name, n := range want {
		if d.packets[name] != n {
			t.Errorf("the capture has %d packets on %s, the box has told of %d", d.packets[name], name, n)
		}
	}
	if len(d.packets) != len(want) {
		t.Errorf("interfaces %v, want those of %v", d.packets, want)
	}
}
