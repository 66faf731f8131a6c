package bench

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"syscall"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus/bustest"
)

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(0, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestTmp(t *testing.T) {
	fs := os.Getenv("FSYNC")
	if fs == "" {
		fs = "everysec"
	}
	server := bustest.NewRedis(t, "--appendonly", "yes", "--appendfsync", fs, "--auto-aof-rewrite-percentage", "0")
	what := map[string]system{
		"one": redisBus(server, load{}), "batch": batches(server, 1), "c10": redisBus(server, load{components: 10}), "c1000": redisBus(server, load{components: 1000}),
		"mem": memoryBus(load{}), "mem1000": memoryBus(load{components: 1000}), "mem10": memoryBus(load{components: 10}),
		"eight": redisBus(server, load{processes: 8}),
	}
	rounds := 3
	fmt.Sscan(os.Getenv("ROUNDS"), &rounds)
	n := 60000
	fmt.Sscan(os.Getenv("N"), &n)
	var names []string
	for _, w := range []string{"one", "batch", "c10", "c1000", "mem", "mem10", "mem1000", "eight"} {
		for _, x := range splitComma(os.Getenv("WHAT")) {
			if x == w {
				names = append(names, w)
			}
		}
	}
	if p := os.Getenv("PROF"); p != "" {
		f, _ := os.Create(p)
		pprof.StartCPUProfile(f)
		defer f.Close()
		defer pprof.StopCPUProfile()
	}
	got := map[string][]float64{}
	for range rounds {
		for _, name := range names {
			var a, b runtime.MemStats
			runtime.ReadMemStats(&a)
			c := cpu()
			d := what[name](t, n)
			c = cpu() - c
			runtime.ReadMemStats(&b)
			us := float64(d.Microseconds()) / float64(n)
			got[name] = append(got[name], us)
			fmt.Printf("%s %.2f µs/msg, %.0f/s; go cpu (incl. setup) %.2f µs, allocs %.1f, gc %d\n", name, us, 1e6/us, float64(c.Microseconds())/float64(n)/1.1, float64(b.Mallocs-a.Mallocs)/float64(n)/1.1, b.NumGC-a.NumGC)
		}
	}
	for _, name := range names {
		fmt.Printf("median %s %.2f\n", name, median(got[name]))
	}
}

func splitComma(s string) (out []string) {
	cur := ""
	for _, r := range s + "," {
		if r == ',' {
			if cur != "" {
				out = append(out, cur)
			}
			cur = ""
		} else {
			cur += string(r)
		}
	}
	return
}
