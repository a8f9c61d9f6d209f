package client

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// EnvAddress is the environment variable that says where the instance listens, and
// EnvToken the one that holds its token.
const (
	EnvAddress = "TCPMANGLE_API"
	EnvToken   = "TCPMANGLE_TOKEN"
)

// socketName is what the socket is called in the folder that is the system's for such.
const socketName = "tcpmangle.sock"

// DefaultAddress is where an instance listens if nobody has said otherwise: a unix
// socket in the folder that systemd has made for it, else in /run for root, else
// in the user's own folder for such, else in that for temporary files.
func DefaultAddress() string {
	folder, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":")
	switch {
	case folder != "":
	case os.Geteuid() == 0:
		folder = systemFolder
	case os.Getenv("XDG_RUNTIME_DIR") != "":
		folder = os.Getenv("XDG_RUNTIME_DIR")
	default:
		return filepath.Join(os.TempDir(), fmt.Sprintf("tcpmangle-%d.sock", os.Geteuid()))
	}
	return filepath.Join(folder, socketName)
}

// systemFolder is where sockets of the system are; a test has another one.
var systemFolder = "/run"

// instanceAddress is where a call looks for an instance if nobody has said where: at DefaultAddress, or, where
// no socket is, at that of the systemd unit, which has a folder of its own.
func instanceAddress() string {
	address := DefaultAddress()
	unit := filepath.Join(systemFolder, "tcpmangle", socketName)
	if !exists(address) && exists(unit) {
		return unit
	}
	return address
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// SplitAddress reads an address of the API: a path or unix:PATH is a unix
// socket, tcp:HOST:PORT, http://HOST:PORT and HOST:PORT are TCP. It returns them as
// net.Dial and net.Listen want them.
func SplitAddress(address string) (network, where string, err error) {
	switch {
	case strings.HasPrefix(address, "unix:"):
		where = strings.TrimPrefix(strings.TrimPrefix(address, "unix:"), "//")
		network = "unix"
	case strings.ContainsRune(address, '/') && !strings.Contains(address, "://"):
		network, where = "unix", address
	case strings.HasPrefix(address, "http://"):
		u, err := url.Parse(address)
		if err != nil || u.Path != "" && u.Path != "/" {
			return "", "", fmt.Errorf("%q is not like http://127.0.0.1:8475", address)
		}
		network, where = "tcp", u.Host
	default:
		network, where = "tcp", strings.TrimPrefix(address, "tcp:")
	}
	if where == "" || network == "tcp" && !strings.Contains(where, ":") {
		return "", "", fmt.Errorf("%q is no address of an API; write a path for a unix socket, or HOST:PORT", address)
	}
	return network, where, nil
}
