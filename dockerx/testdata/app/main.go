// Command app is what the containers of the tests run: one static binary whose
// arguments say what to do.
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	switch args[0] {
	case "run": // until it is told to stop
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
		fmt.Println("ready")
		<-stop
		return 0
	case "stubborn": // until it is killed
		ignored := make(chan os.Signal, 1)
		signal.Notify(ignored, syscall.SIGTERM, syscall.SIGINT)
		fmt.Println("ready")
		for range ignored {
		}
	case "say": // to stdout and stderr
		fmt.Println(args[1])
		fmt.Fprintln(os.Stderr, args[2])
	case "exit":
		n, _ := strconv.Atoi(args[1])
		return n
	case "cat":
		_, _ = io.Copy(os.Stdout, os.Stdin)
	case "peek": // at the first byte
		_, _ = io.CopyN(os.Stdout, os.Stdin, 1)
		return 3
	case "check":
		return 0
	case "show": // owner, mode and content of files
		for _, path := range args[1:] {
			if !show(path) {
				return 1
			}
		}
	}
	return 0
}

func show(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		fmt.Println(err)
		return false
	}
	data, err := os.ReadFile(path)
	if err != nil {
		fmt.Println(err)
		return false
	}
	st := info.Sys().(*syscall.Stat_t)
	fmt.Printf("%s %d:%d %o %s\n", path, st.Uid, st.Gid, info.Mode().Perm(), data)
	return true
}
