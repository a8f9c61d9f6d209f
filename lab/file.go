package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/script"
	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
	"github.com/tcpmangle/tcpmangle/rules"
)

// A File is one lab file, checked whole. It does not change, and may be executed any
// number of times.
type File struct {
	Path  string
	Title string
	Rules *rules.Set

	Timeout time.Duration
	IP      []int // the families to run over: 4, 6 or both
	MTU     int
	Agree   bool // a difference between inferred and kernel's states is a failure
	Link    Link

	dir     string       // where the file stands; "": its programs run where we do
	hosts   [2]*hostSpec // by side; nil: that host does nothing
	expects []spec
	steps   []*step
	proxies []Proxy
}

// A Link is what the base path does to every segment, each way, besides the rules. It
// acts after them: what a rule delays, holds or forges is past it.
type Link struct {
	Delay time.Duration
	Rate  int64   // bits per second, of all connections together; 0: no limit
	Loss  float64 // the chance of each segment
}

// The hosts, as indexes: of devices, of namespaces, of everything that there are two of.
const (
	clientSide = 0
	serverSide = 1
)

var sideNames = [2]string{"client", "server"}

// A hostSpec is what a file says of one host.
type hostSpec struct {
	script  *script.Script // either this
	run     []string       // or a program
	ready   uint16         // the port that must listen before the client starts; 0: none
	copies  int            // 0: not said
	stagger time.Duration
	sysctls []sysctl
	env     []string
}

// listens tells whether its script does.
func (h *hostSpec) listens() bool { return h.script != nil && len(h.script.Ports()) > 0 }

// serves is how many connections the script of a host serves, if it listens.
func (f *File) serves(side int) int {
	if h := f.hosts[side]; side == serverSide && h.copies > 0 {
		return h.copies
	}
	if c := f.hosts[clientSide]; c != nil {
		return max(c.copies, 1)
	}
	return 1
}

type sysctl struct{ key, value string }

const (
	defaultTimeout = 30 * time.Second
	defaultMTU     = 1500
	leastMTU6      = 1280 // of IPv6 (RFC 8200, section 5)
)

// IsLab tells whether there is anything to run: a file without [client] and [server]
// is a plain rule file.
func (f *File) IsLab() bool { return f.hosts[clientSide] != nil || f.hosts[serverSide] != nil }

// Load reads a file. Mistakes in it are a rules.Errors.
func Load(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := Parse(path, string(text))
	if err != nil {
		return nil, err
	}
	f.dir = filepath.Dir(path)
	return f, nil
}

// Parse reads the text of a file, whose name serves the messages. The error is a
// rules.Errors with every mistake at its place.
func Parse(name, text string) (*File, error) {
	doc := tomldoc.Parse(name, text)
	r := reader{doc: doc, text: text, file: &File{
		Path: name, Timeout: defaultTimeout, IP: []int{4}, MTU: defaultMTU, Agree: true,
	}}
	r.read()
	doc.Finish()
	if errs := rules.DocErrors(doc); len(errs) > 0 {
		return nil, errs
	}
	return r.file, nil
}

// A reader turns a document into a File and leaves the mistakes in the document.
type reader struct {
	doc  *tomldoc.Doc
	text string
	file *File
}

func (r *reader) read() {
	f, root := r.file, r.doc.Root()
	f.Rules = rules.Decode(r.doc)
	f.Title = f.Rules.Title
	if t, ok := root.Table("lab"); ok {
		t.In(tomldoc.Section{Kind: "lab"})
		r.lab(t)
	}
	for side, name := range sideNames {
		if t, ok := root.Table(name); ok {
			t.In(tomldoc.Section{Kind: name})
			f.hosts[side] = r.host(side, t)
		}
	}
	r.servers()
	for i, t := range root.Tables("expect") {
		t.In(tomldoc.Section{Kind: "expect", Index: i + 1})
		if s := r.expect(t); s != nil {
			f.expects = append(f.expects, s)
		}
	}
	for i, t := range root.Tables("proxy") {
		t.In(tomldoc.Section{Kind: "proxy", Index: i + 1})
		f.proxies = append(f.proxies, readProxy(t))
	}
	for i, t := range root.Tables("step") {
		t.In(tomldoc.Section{Kind: "step", Index: i + 1})
		r.needHosts(t)
		if s := r.step(t); s != nil {
			f.steps = append(f.steps, s)
		}
	}
}

// needHosts refuses what would never be judged.
func (r *reader) needHosts(t *tomldoc.Table) {
	if !r.file.IsLab() {
		t.Errorf("", "there is nothing to run: the file has neither [client] nor [server]")
	}
}

// lab reads the table of that name.
func (r *reader) lab(t *tomldoc.Table) {
	f := r.file
	if v, ok := t.Value("timeout"); ok {
		f.Timeout = positive(v)
	}
	if v, ok := t.Value("ip"); ok {
		f.IP = families(v)
	}
	if v, ok := t.Value("mtu"); ok {
		f.MTU = whole(v, 68, 65535)
		if f.MTU < leastMTU6 && slices.Contains(f.IP, 6) {
			v.Errorf("%w", ErrMTU6)
		}
	}
	if agree, ok := t.Bool("agree"); ok {
		f.Agree = agree
	}
	if link, ok := t.Table("link"); ok {
		r.link(link)
	}
}

func (r *reader) link(t *tomldoc.Table) {
	r.file.Link.Delay, _ = t.Duration("delay")
	r.file.Link.Loss, _ = t.Probability("loss")
	r.file.Link.Rate, _ = t.Rate("rate")
}

// ErrMTU6 is what Execute returns for a file whose mtu is too small for IPv6, if that is asked for
// (RFC 8200, section 5).
var ErrMTU6 = fmt.Errorf("IPv6 needs an mtu of at least %d", leastMTU6)

// positive reads a duration of more than nothing.
func positive(v tomldoc.Value) time.Duration {
	d, ok := v.Duration()
	if ok && d == 0 {
		v.Errorf("must be more than 0s")
	}
	return d
}

// whole reads an integer within bounds.
func whole(v tomldoc.Value, lo, hi int) int {
	n, ok := v.Int()
	if ok && (n < int64(lo) || n > int64(hi)) {
		v.Errorf("%d is not from %d to %d", n, lo, hi)
	}
	return int(n)
}

// families reads 4, 6, or a list of them.
func families(v tomldoc.Value) (all []int) {
	seen := map[int64]bool{}
	for _, item := range v.List() {
		n, ok := item.Int()
		switch {
		case !ok:
		case n != 4 && n != 6:
			item.Errorf("%d is not 4 or 6", n)
		case seen[n]:
			item.Errorf("%d stands here twice", n)
		}
		seen[n] = true
		all = append(all, int(n))
	}
	return all
}
