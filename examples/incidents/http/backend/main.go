// Command backend is a healthy HTTP server: it does its work, counts it, and closes
// connections that are idle for too long.
//
//	GET, POST /     does the work; of requests with the same Idempotency-Key only once
//	GET /executed   tells how often the work was done
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"sync"
	"time"
)

// work counts what was done. Requests share it.
type work struct {
	mu   sync.Mutex
	done map[string]int  // by method
	keys map[string]bool // of what was done
}

func main() {
	idle := flag.Duration("idle", time.Minute, "how long a connection may be idle")
	flag.Parse()
	w := &work{done: map[string]int{}, keys: map[string]bool{}}
	http.HandleFunc("/", w.do)
	http.HandleFunc("/executed", w.executed)
	server := http.Server{Addr: ":8080", IdleTimeout: *idle}
	log.Fatal(server.ListenAndServe())
}

func (w *work) do(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	if key == "" || !w.keys[key] {
		w.done[r.Method]++
		w.keys[key] = true
		fmt.Println("executed", r.Method)
	}
	fmt.Fprintln(rw, "done")
}

func (w *work) executed(rw http.ResponseWriter, _ *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(rw, "executed: GET %d, POST %d\n", w.done["GET"], w.done["POST"])
}
