// Package integration holds tests against the real kernel: what the other packages
// claim about Linux TCP is shown here, in network namespaces that each test makes
// and that vanish with it.
//
// Without /dev/net/tun, or the right to make namespaces, they skip and say so;
// with TCPMANGLE_REQUIRE_TUN=1 they fail.
package integration
