// Command go is net/http in the matrix of clients; see the README beside.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

var server = "http://" + net.JoinHostPort(os.Getenv("SERVER"), "8080")

func main() {
	pause, _ := time.ParseDuration(os.Getenv("PAUSE") + "s")
	for _, method := range os.Args[1:] {
		client := &http.Client{Transport: &http.Transport{}}
		fmt.Println(method, "1:", send(client, method, 1))
		time.Sleep(pause)
		fmt.Println(method, "2:", send(client, method, 2))
	}
	_, body := get(http.DefaultClient.Get(server + "/executed"))
	fmt.Print(body)
}

// send returns the status, or the error as a text. A key tells the server, and the
// library too, that the request may be repeated.
func send(client *http.Client, method string, n int) string {
	r, err := http.NewRequest(method, server, strings.NewReader("work"))
	if err != nil {
		return err.Error()
	}
	if os.Getenv("KEY") != "" {
		r.Header.Set("Idempotency-Key", fmt.Sprint(method, n))
	}
	status, _ := get(client.Do(r))
	return status
}

// get reads an answer to its end, which gives the connection back.
func get(answer *http.Response, err error) (status, body string) {
	if err != nil {
		return err.Error(), ""
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error(), ""
	}
	return fmt.Sprint(answer.StatusCode), string(text)
}
