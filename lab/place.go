package lab

import "os"

// A place is where the programs of one host run. All its copies share it, and what
// one of them has left there its successor after a restart finds.
type place struct {
	dir string // the working directory: the lab file's
	tmp string // $TMPDIR, for what they write; gone with the run, however they end
}

// open makes the folder for what they write.
func (p *place) open(dir string) (err error) {
	p.dir = dir
	p.tmp, err = os.MkdirTemp("", "tcpmangle-")
	return err
}

// close removes it. Nobody may write there any more.
func (p *place) close() error {
	if p.tmp == "" {
		return nil
	}
	return os.RemoveAll(p.tmp)
}
