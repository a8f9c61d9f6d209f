package nstest

import (
	"os"
	"path/filepath"
	"testing"
)

// maxSocket is how long the path of a unix socket may be (unix(7), sun_path).
const maxSocket = 107

// Socket is a path for a unix socket in a folder of its own. That of t.TempDir may be too long
// for one, and so may what TMPDIR says.
func Socket(t testing.TB) string {
	t.Helper()
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		folder, err := os.MkdirTemp(parent, "socket")
		Must(t, err)
		t.Cleanup(func() { os.RemoveAll(folder) })
		if path := filepath.Join(folder, "tcpmangle.sock"); len(path) <= maxSocket {
			return path
		}
	}
	t.Fatal("no folder has a path short enough for a socket")
	return ""
}
