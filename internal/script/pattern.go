package script

// Pattern fills p with the bytes that "send N bytes" sends at offset at of a
// connection's stream. They depend on the offset alone: each eight bytes are
// the offset of the first of them in seven hexadecimal digits and a newline,
//
//	0000000\n0000008\n0000010\n...
//
// so a receiver, or a reader of a capture, knows the place of every piece,
// and sees what was lost, repeated or moved. It repeats after 256 MiB.
func Pattern(p []byte, at int64) {
	for i := range p {
		p[i] = patternByte(at + int64(i))
	}
}

func patternByte(at int64) byte {
	place := at & 7
	if place == 7 {
		return '\n'
	}
	return "0123456789abcdef"[at&^7>>(4*(6-place))&15]
}
