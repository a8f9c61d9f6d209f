// Command server has a handler that works for two seconds, in four pieces, as long as
// its request is not cancelled. With -detach it goes by a context that does not end with
// the client's direction of the connection.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"
)

func main() {
	detach := flag.Bool("detach", false, "finish what was begun")
	flag.Parse()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if *detach {
			ctx = context.WithoutCancel(ctx)
		}
		if err := work(ctx); err != nil {
			fmt.Println("given up:", err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "done")
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}

// work is what a handler with a database does: it looks at its context now and then.
func work(ctx context.Context) error {
	for piece := range 4 {
		time.Sleep(500 * time.Millisecond)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("piece %d of 4: %w", piece+1, err)
		}
	}
	return nil
}
