package wire

import "testing"

// Each kind is found again in the error that is made of it, and its name is read.
func TestICMPKinds(t *testing.T) {
	names := ICMPKindNames()
	if len(names) != int(numICMPKinds) {
		t.Fatalf("%d names, want %d", len(names), numICMPKinds)
	}
	for k := range numICMPKinds {
		if got, ok := ParseICMPKind(names[k]); !ok || got != k {
			t.Errorf("ParseICMPKind(%q) = %v, %v", names[k], got, ok)
		}
		for _, v6 := range []bool{false, true} {
			b := ICMPBuild{From: server4.Addr(), To: client4.Addr(), Quote: build(v6, Build{Flags: ACK})}
			if v6 {
				b.From, b.To = server6.Addr(), client6.Addr()
			}
			b.Type, b.Code = k.Code(v6)
			e, ok := ParseICMPError(b.Append(nil))
			if !ok || e.V6() != v6 {
				t.Fatalf("%v: ParseICMPError = %+v, %v", k, e, ok)
			}
			if got, ok := e.Kind(); !ok || got != k {
				t.Errorf("Kind = %v, %v, want %v", got, ok, k)
			}
		}
	}
	if k, ok := ParseICMPKind("host-unreachabel"); ok {
		t.Errorf("a name that is none is %v", k)
	}
	e := ICMP{From: server4.Addr(), Type: ICMPv4ParamProblem}
	if k, ok := e.Kind(); ok {
		t.Errorf("a parameter problem is %v", k)
	}
}
