package netns

import (
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LegacyFirewall tells whether rules of iptables-legacy, which nftables does not see, drop by their
// policy what meets them at a hook, Forwarded or Delivered, in IPv4 or in IPv6.
func (n *NS) LegacyFirewall(h Hook) (drops bool) {
	_ = n.Do(func() error {
		drops = legacy4.drops(h) || legacy6.drops(h)
		return nil
	})
	return drops
}

// legacyTables is where the kernel keeps rules of iptables-legacy of an IP version.
type legacyTables struct {
	names    string // lists the tables that there are
	family   int
	level    int
	targetAt int // where an entry has the offset of its target: behind struct ipt_ip, or ip6t_ip6, and nfcache
}

var (
	legacy4 = legacyTables{"ip_tables_names", unix.AF_INET, unix.IPPROTO_IP, 84 + 4}
	legacy6 = legacyTables{"ip6_tables_names", unix.AF_INET6, unix.IPPROTO_IPV6, 136 + 4}
)

// What is asked, and where the answers have what: structs ipt_getinfo, ipt_get_entries and
// xt_standard_target of the kernel, whose likes of IPv6 are the same.
const (
	getInfo    = 64 // IPT_SO_GET_INFO
	getEntries = 65 // IPT_SO_GET_ENTRIES

	infoLen     = 84
	underflowAt = 56 // five offsets, by hook: the entry that is the policy
	sizeAt      = 80 // of all entries
	askSizeAt   = 32
	entriesAt   = 40
	verdictAt   = 32

	policyDrop = -1 // -NF_DROP - 1
)

// drops looks at the table filter, if it is there: to ask the kernel for it would make it.
func (t legacyTables) drops(h Hook) bool {
	names, err := os.ReadFile("/proc/thread-self/net/" + t.names)
	if err != nil || !slices.Contains(strings.Fields(string(names)), "filter") {
		return false
	}
	fd, err := unix.Socket(t.family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	info := append([]byte("filter"), make([]byte, infoLen-len("filter"))...)
	if !ask(fd, t.level, getInfo, info) {
		return false
	}
	size := binary.NativeEndian.Uint32(info[sizeAt:])
	entries := make([]byte, entriesAt+size)
	copy(entries, "filter")
	binary.NativeEndian.PutUint32(entries[askSizeAt:], size)
	if !ask(fd, t.level, getEntries, entries) { // it has changed in between
		return false
	}
	policy := entries[entriesAt+binary.NativeEndian.Uint32(info[underflowAt+4*uint32(*hooks[h].hook):]):]
	target := policy[binary.NativeEndian.Uint16(policy[t.targetAt:]):]
	return int32(binary.NativeEndian.Uint32(target[verdictAt:])) == policyDrop
}

// ask is getsockopt(2) with a question in the place of the answer.
func ask(fd, level, option int, b []byte) bool {
	n := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&n)), 0)
	return errno == 0
}
