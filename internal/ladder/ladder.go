package ladder

import (
	"os"
	"path/filepath"

	"github.com/tcpmangle/tcpmangle/rules"
)

// A Script is a ladder that was read without a mistake. It is immutable: any
// number of goroutines may play it.
type Script struct {
	Name  string // the file's
	Title string // its first line, if that is a comment: the phenomenon that it shows

	source  []string
	set     *rules.Set
	seed    uint64
	hasSeed bool
	offload bool
	ip      int // 0: either
	conns   []*conn
	steps   []step
}

// A conn is a connection of a script, as its addresses and numbers are to be
// while it is played.
type conn struct {
	name  string
	ports [2]uint16 // client's, server's
	isn   [2]uint32
}

// The defaults of a connection.
const (
	clientPort = 40000
	serverPort = 8080
	clientISN  = 1_000_000
	serverISN  = 2_000_000
)

// Load reads the script in a file. Its mistakes are of type Errors.
func Load(path string) (*Script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, string(text))
}

// Parse reads the text of a script. The files that it names are looked for
// beside the file that is called name. The error is of type Errors.
func Parse(name, text string) (*Script, error) {
	return parse(name, text, func(file string) (*rules.Set, error) {
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(name), file)
		}
		return rules.Load(file)
	})
}

// Rules is the script's rule set; it may be empty.
func (s *Script) Rules() *rules.Set { return s.set }

// IP is the version of IP that the script asks for, 0 if it does not care.
func (s *Script) IP() int { return s.ip }

// DefaultISN is where a connection's numbers begin, client's and server's,
// unless the script says otherwise.
func DefaultISN() [2]uint32 { return [2]uint32{clientISN, serverISN} }
