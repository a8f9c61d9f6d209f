package ladder

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// An option is one TCP option as a script writes it. Numbers of SACK blocks
// are relative until it is built.
type option struct {
	kind   uint8
	values []uint32
}

// maxOptions is the room for options in a TCP header.
const maxOptions = 40

// parseOptions reads "<mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>".
func parseOptions(text string) (options []option, err error) {
	options = []option{} // not nil: "<>" says that there are none
	inner := strings.TrimSuffix(strings.TrimPrefix(text, "<"), ">")
	if strings.TrimSpace(inner) == "" {
		return options, nil
	}
	for item := range strings.SplitSeq(inner, ",") {
		o, err := parseOption(strings.Fields(item))
		if err != nil {
			return nil, err
		}
		options = append(options, o)
	}
	if len(appendOptions(nil, options, 0)) > maxOptions {
		return nil, errors.New("these options do not fit into a TCP header: it has room for 40 bytes")
	}
	return options, nil
}

var optionNames = []string{"eol", "nop", "mss", "wscale", "sackOK", "sack", "TS"}

func parseOption(words []string) (o option, err error) {
	if len(words) == 0 {
		return o, errors.New("an option is missing between the commas")
	}
	name, args := words[0], words[1:]
	switch name {
	case "eol", "nop", "sackOK":
		o.kind = map[string]uint8{"eol": wire.OptEOL, "nop": wire.OptNOP, "sackOK": wire.OptSACKPermitted}[name]
		err = o.read(name, args, "", 0)
	case "mss":
		o.kind = wire.OptMSS
		err = o.read("mss N", args, "0", 16)
	case "wscale":
		o.kind = wire.OptWScale
		err = o.read("wscale N", args, "0", 8)
	case "TS":
		o.kind = wire.OptTimestamps
		err = o.read("TS val N ecr N", args, "val 0 ecr 0", 32)
	case "sack":
		o.kind = wire.OptSACK
		err = o.readBlocks(args)
	default:
		err = unknown("option", name, optionNames)
	}
	return o, err
}

// read takes the numbers from args, which have the shape of form: its words as
// they are, and a number for each 0.
func (o *option) read(usage string, args []string, form string, bits int) error {
	shape := strings.Fields(form)
	if len(args) != len(shape) {
		return fmt.Errorf("write %q", usage)
	}
	for i, word := range shape {
		if word != "0" {
			if args[i] != word {
				return fmt.Errorf("write %q", usage)
			}
			continue
		}
		n, err := strconv.ParseUint(args[i], 10, bits)
		if err != nil {
			return fmt.Errorf("%q is not a number of %d bits", args[i], bits)
		}
		o.values = append(o.values, uint32(n))
	}
	return nil
}

func (o *option) readBlocks(args []string) error {
	if len(args) < 1 || len(args) > 4 {
		return errors.New(`write "sack FROM:TO" with one to four blocks`)
	}
	for _, block := range args {
		from, to, ok := strings.Cut(block, ":")
		a, err1 := strconv.ParseUint(from, 10, 32)
		b, err2 := strconv.ParseUint(to, 10, 32)
		if !ok || err1 != nil || err2 != nil {
			return fmt.Errorf("%q is not a block; write FROM:TO", block)
		}
		o.values = append(o.values, uint32(a), uint32(b))
	}
	return nil
}

// appendOptions makes the options' bytes. SACK blocks speak of the peer's
// numbers, which begin at peerISN.
func appendOptions(dst []byte, options []option, peerISN uint32) []byte {
	for _, o := range options {
		switch o.kind {
		case wire.OptEOL, wire.OptNOP:
			dst = append(dst, o.kind)
		case wire.OptMSS:
			dst = wire.AppendMSS(dst, uint16(o.values[0]))
		case wire.OptWScale:
			dst = wire.AppendWScale(dst, uint8(o.values[0]))
		case wire.OptSACKPermitted:
			dst = wire.AppendSACKPermitted(dst)
		case wire.OptTimestamps:
			dst = wire.AppendTimestamps(dst, o.values[0], o.values[1])
		case wire.OptSACK:
			dst = wire.AppendSACK(dst, blocks(o.values, peerISN)...)
		}
	}
	return dst
}

func blocks(values []uint32, isn uint32) (rs []seq.Range) {
	for i := 0; i < len(values); i += 2 {
		rs = append(rs, seq.Range{From: seq.Num(isn + values[i]), To: seq.Num(isn + values[i+1])})
	}
	return rs
}

// optionsText writes the options of a packet as a script does; "" if it has none.
func optionsText(p *wire.Packet, peerISN uint32) string {
	var items []string
	for kind, data := range p.Options().All() {
		items = append(items, optionText(kind, data, peerISN))
	}
	if len(items) == 0 {
		return ""
	}
	return "<" + strings.Join(items, ",") + ">"
}

func optionText(kind uint8, data []byte, peerISN uint32) string {
	number := func(at, size int) (n uint32) {
		for _, b := range data[at : at+size] {
			n = n<<8 | uint32(b)
		}
		return n
	}
	switch {
	case kind == wire.OptMSS && len(data) == 2:
		return fmt.Sprintf("mss %d", number(0, 2))
	case kind == wire.OptWScale && len(data) == 1:
		return fmt.Sprintf("wscale %d", data[0])
	case kind == wire.OptSACKPermitted && len(data) == 0:
		return "sackOK"
	case kind == wire.OptTimestamps && len(data) == 8:
		return fmt.Sprintf("TS val %d ecr %d", number(0, 4), number(4, 4))
	case kind == wire.OptSACK && len(data)%8 == 0:
		var text strings.Builder
		text.WriteString("sack")
		for at := 0; at < len(data); at += 8 {
			text.WriteString(fmt.Sprintf(" %d:%d", number(at, 4)-peerISN, number(at+4, 4)-peerISN))
		}
		return text.String()
	}
	return fmt.Sprintf("kind %d %x", kind, data)
}
