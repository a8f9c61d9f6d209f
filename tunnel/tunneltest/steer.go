package tunneltest

// steer chooses one of n queues by addresses and, unless it is a fragment, ports.
// Swapping source and destination changes nothing. It looks no further than a test
// needs: an IPv6 extension header counts as part of the ports, and what is no IP
// packet goes to the first queue.
func steer(packet []byte, n int) int {
	if n == 1 || len(packet) == 0 {
		return 0
	}
	switch packet[0] >> 4 {
	case 4:
		return steerIPv4(packet, n)
	case 6:
		return mix(packet, 8, 16, 40, n)
	}
	return 0
}

func steerIPv4(packet []byte, n int) int {
	const fragmentBits = 0x3f // MF and the offset's upper bits
	ports := int(packet[0]&0x0f) * 4
	if len(packet) >= 20 && (packet[6]&fragmentBits != 0 || packet[7] != 0) {
		ports = len(packet)
	}
	return mix(packet, 12, 4, ports, n)
}

// mix adds up both addresses of size bytes from addrs on, and both ports, each as
// far as the packet goes. Knuth's multiplier spreads neighbours.
func mix(packet []byte, addrs, size, ports, n int) int {
	var sum uint32
	for i := addrs; i < addrs+2*size && i+1 < len(packet); i += 2 {
		sum += uint32(packet[i])<<8 + uint32(packet[i+1])
	}
	for i := ports; i < ports+4 && i+1 < len(packet); i += 2 {
		sum += uint32(packet[i])<<8 + uint32(packet[i+1])
	}
	return int((sum * 2654435769 >> 16) % uint32(n))
}
