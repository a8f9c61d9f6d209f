#!/bin/sh
# Users may run labs without root where they may open /dev/net/tun; for what needs
# privileges on the host the binary gets exactly these. Without setcap it works for root.
set -e
if command -v setcap >/dev/null 2>&1; then
	setcap cap_net_admin,cap_bpf+ep /usr/bin/tcpmangle || true
fi
