package engine_test
import ("testing";"time";"net";"io";"slices";"syscall"
"github.com/tcpmangle/tcpmangle/engine";"github.com/tcpmangle/tcpmangle/tunnel")
func TestZZPingPong(t *testing.T){
 for _, busy := range []bool{false,true,false,true} {
  a,near:=newTunHost(t,client,1); b,far:=newTunHost(t,server,1)
  eng,_:=engine.New(engine.Config{Devices:[2]tunnel.Device{near,far},BusyPoll:busy})
  stop:=runEngine(t,eng)
  var l net.Listener
  b.Do(func()(err error){l,err=net.Listen("tcp","10.77.2.1:8080");return})
  go serveEchoes(l)
  var c net.Conn
  a.Do(func()(err error){c,err=net.Dial("tcp","10.77.2.1:8080");return})
  buf:=make([]byte,64); var ds []time.Duration
  var r0,r1 syscall.Rusage; syscall.Getrusage(0,&r0)
  for range 5000 { s:=time.Now(); c.Write(buf); io.ReadFull(c,buf); ds=append(ds,time.Since(s)) }
  syscall.Getrusage(0,&r1)
  slices.Sort(ds)
  t.Logf("busy %v p50 %v p99 %v cpu %v", busy, ds[2500], ds[4950], time.Duration(r1.Utime.Nano()+r1.Stime.Nano()-r0.Utime.Nano()-r0.Stime.Nano()))
  syscall.Getrusage(0,&r0); time.Sleep(time.Second); syscall.Getrusage(0,&r1)
  t.Logf("   idle cpu in 1s %v", time.Duration(r1.Utime.Nano()+r1.Stime.Nano()-r0.Utime.Nano()-r0.Stime.Nano()))
  c.Close(); l.Close(); stop()
 }
}
