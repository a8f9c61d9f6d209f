package capture

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// A Packet is one IP packet of a capture.
type Packet struct {
	Interface     int       // counted from 0 over the whole file; sections of one machine share them
	InterfaceName string    // empty where the file gives none, as pcap never does
	Time          time.Time // in UTC; zero where the file gives none (simple packet blocks)
	Data          []byte    // from the IP header on, without link header and padding; the caller owns it
	Truncated     bool      // the capture kept less than the packet had
	Comments      []string  // pcapng only
}

// A Reader reads the IP packets of a capture. One goroutine may use it.
type Reader struct {
	src     source
	file    io.Closer // what Open opened, else nil
	skipped int
}

// A source is one of the two formats.
type source interface {
	// next returns the next frame as it was captured, and io.EOF after the last.
	next() (frame, error)
	// names returns the interfaces met so far.
	names() []string
}

// A frame is what a source gives: a packet with its link header.
type frame struct {
	data     []byte
	info     gopacket.CaptureInfo
	link     layers.LinkType
	iface    int
	name     string
	comments []string
}

// Open reads a capture file. Close closes it.
func Open(file string) (*Reader, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	r, err := NewReader(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r.file = f
	return r, nil
}

// NewReader reads a capture, pcap or pcapng, of either byte order, plain or
// compressed by gzip. The caller keeps r.
func NewReader(r io.Reader) (*Reader, error) {
	src, err := newSource(r)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", noEOF(err))
	}
	return &Reader{src: src}, nil
}

// The first bytes of what we read; a pcapng section header is the same in both
// byte orders, a pcap one comes in either, with micro- or nanoseconds.
var (
	magicGzip = []byte{0x1f, 0x8b}
	magicNg   = []byte{0x0a, 0x0d, 0x0d, 0x0a}
	magicPcap = [][]byte{
		{0xa1, 0xb2, 0xc3, 0xd4}, {0xd4, 0xc3, 0xb2, 0xa1},
		{0xa1, 0xb2, 0x3c, 0x4d}, {0x4d, 0x3c, 0xb2, 0xa1},
	}
)

func newSource(r io.Reader) (source, error) {
	b := bufio.NewReader(r)
	magic, err := b.Peek(4)
	switch {
	case err != nil:
		return nil, err
	case bytes.HasPrefix(magic, magicGzip):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, err
		}
		b = bufio.NewReader(z)
		if magic, err = b.Peek(4); err != nil {
			return nil, err
		}
	}
	switch {
	case bytes.Equal(magic, magicNg):
		return newNg(b)
	case slices.ContainsFunc(magicPcap, func(m []byte) bool { return bytes.Equal(magic, m) }):
		return newPcap(b)
	}
	return nil, errors.New("the file is neither pcap nor pcapng")
}

// Next returns the next IP packet, and io.EOF after the last. Frames of other
// protocols (ARP, say) are passed over and counted. An unknown link type is an
// error that names it, a broken file one too; after an error there is no way on. Where
// the file ends within a packet that is io.ErrUnexpectedEOF: those before it are whole.
func (r *Reader) Next() (Packet, error) {
	for {
		f, err := r.src.next()
		if err == io.EOF {
			return Packet{}, io.EOF
		}
		if err != nil {
			return Packet{}, fmt.Errorf("capture: %w", err)
		}
		if !supported(f.link) {
			return Packet{}, fmt.Errorf("capture: interface %d %q: %w", f.iface, f.name, unsupported(f.link))
		}
		if ip, whole, ok := stripLink(f.link, f.data); ok {
			return f.packet(ip, whole), nil
		}
		r.skipped++
	}
}

func (f *frame) packet(ip []byte, whole bool) Packet {
	return Packet{
		Interface:     f.iface,
		InterfaceName: f.name,
		Time:          f.info.Timestamp,
		Data:          ip,
		Truncated:     !whole || f.info.CaptureLength < f.info.Length,
		Comments:      f.comments,
	}
}

// Skipped returns how many frames held no IP packet so far.
func (r *Reader) Skipped() int { return r.skipped }

// Packets are what is left of the capture, one after the other; a mistake in it is the
// last of them.
func (r *Reader) Packets() iter.Seq2[Packet, error] {
	return func(yield func(Packet, error) bool) {
		for {
			p, err := r.Next()
			if err == io.EOF || !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// Interfaces returns the names of the interfaces met so far, by their numbers.
// Usually all of them are known once the first packet is read.
func (r *Reader) Interfaces() []string { return r.src.names() }

// Close closes the file that Open opened.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// pcapSource reads pcap: one interface, no name.
type pcapSource struct{ r *pcapgo.Reader }

func newPcap(r io.Reader) (source, error) {
	p, err := pcapgo.NewReader(r)
	if err != nil {
		return nil, err
	}
	if !supported(p.LinkType()) {
		return nil, unsupported(p.LinkType())
	}
	return &pcapSource{p}, nil
}

func (s *pcapSource) next() (frame, error) {
	data, info, err := s.r.ReadPacketData()
	return frame{data: data, info: info, link: s.r.LinkType()}, err
}

func (s *pcapSource) names() []string { return []string{""} }

// ngSource reads pcapng. Each section numbers its interfaces from 0. One that has the number
// and the name of one in the section before is the same, as where captures of one machine are
// joined. Others get the next number in the file.
type ngSource struct {
	r     *pcapgo.NgReader
	all   []string // names, by numbers in the file
	here  []int    // numbers in the file of this section's interfaces
	there []int    // and of the section before
}

func newNg(r io.Reader) (source, error) {
	s := new(ngSource)
	ng, err := pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{
		WantMixedLinkType:  true,
		SectionEndCallback: s.sectionEnd,
	})
	if err != nil {
		return nil, err
	}
	s.r = ng
	return s, nil
}

// sectionEnd is called with the interfaces of a section as the next one begins.
func (s *ngSource) sectionEnd(ifaces []pcapgo.NgInterface, _ pcapgo.NgSectionInfo) {
	for _, i := range ifaces[len(s.here):] {
		s.meet(i.Name)
	}
	s.here, s.there = nil, s.here
}

func (s *ngSource) next() (frame, error) {
	data, info, opts, err := s.r.ReadPacketDataWithOptions()
	if err != nil {
		return frame{}, err
	}
	for i := len(s.here); i < s.r.NInterfaces(); i++ {
		iface, _ := s.r.Interface(i)
		s.meet(iface.Name)
	}
	iface, err := s.r.Interface(info.InterfaceIndex)
	if err != nil {
		return frame{}, err
	}
	return frame{
		data:     data,
		info:     info,
		link:     iface.LinkType,
		iface:    s.here[info.InterfaceIndex],
		name:     iface.Name,
		comments: opts.Comments,
	}, nil
}

// meet takes down the next interface of this section.
func (s *ngSource) meet(name string) {
	i := len(s.here)
	if i < len(s.there) && s.all[s.there[i]] == name {
		s.here = append(s.here, s.there[i])
		return
	}
	s.here = append(s.here, len(s.all))
	s.all = append(s.all, name)
}

func (s *ngSource) names() []string { return s.all }

// noEOF keeps an end inside the head from looking like the end of a capture.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
