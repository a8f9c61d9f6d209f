package main

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// notify tells the service manager how far we are (sd_notify(3)), if there is one.
func notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	defer c.Close()
	_, err = c.Write([]byte(state))
	return err
}

// notifyReady tells that everything is in place, and what it is, for systemctl status.
func notifyReady(what string) error { return notify("READY=1\nSTATUS=" + what) }

// notifyReload tells that the files are being read again, and when that began.
func notifyReload() {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) == nil {
		notify(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
	}
}
