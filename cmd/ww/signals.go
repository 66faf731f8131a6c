package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// signals tells the first request to end from the second: the first ends soft,
// after which a command goes down in an orderly way; the second ends hard,
// after which it only makes sure that nothing is left; the third ends the
// program.
type signals struct {
	soft, hard context.Context
}

func watchSignals() (*signals, func()) {
	hard, endHard := context.WithCancel(context.Background())
	soft, endSoft := context.WithCancel(hard)
	c := make(chan os.Signal, 3)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for n := 1; ; n++ {
			select {
			case <-c:
			case <-done:
				return
			}
			switch n {
			case 1:
				endSoft()
			case 2:
				endHard()
			default:
				os.Exit(exitCancelled)
			}
		}
	}()
	return &signals{soft, hard}, func() {
		signal.Stop(c)
		close(done)
		<-gone
		endSoft()
		endHard()
	}
}
