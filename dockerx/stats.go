package dockerx

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// Usage is what a container takes of the engine's machine.
type Usage struct {
	CPU                 float64 // percent of one processor
	Memory, MemoryLimit uint64  // bytes; without the page cache that can be given back
	NetIn, NetOut       uint64  // bytes since it started
	Read, Written       uint64  // bytes of block devices, likewise
	PIDs                uint64
}

// Stats tells a container's usage, about once a second until the container is
// gone or ctx is done; without follow, once, after two samples a second apart.
func (e *Engine) Stats(ctx context.Context, id string, follow bool, tell func(Usage)) error {
	return e.call(ctx, "measure container "+id, func(c *client.Client) error {
		r, err := c.ContainerStats(ctx, id, follow)
		if err != nil {
			return err
		}
		defer func() { _ = r.Body.Close() }()
		dec := json.NewDecoder(r.Body)
		for {
			var s container.StatsResponse
			if err := dec.Decode(&s); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			tell(usageOf(s))
		}
	})
}

func usageOf(s container.StatsResponse) Usage {
	u := Usage{
		CPU: cpuPercent(s), Memory: memoryOf(s.MemoryStats), MemoryLimit: s.MemoryStats.Limit, PIDs: s.PidsStats.Current,
	}
	for _, n := range s.Networks {
		u.NetIn += n.RxBytes
		u.NetOut += n.TxBytes
	}
	for _, b := range s.BlkioStats.IoServiceBytesRecursive {
		switch b.Op {
		case "read", "Read":
			u.Read += b.Value
		case "write", "Write":
			u.Written += b.Value
		}
	}
	return u
}

// cpuPercent compares the container's time with the machine's between two
// samples; 0 where there is one only.
func cpuPercent(s container.StatsResponse) float64 {
	used := float64(s.CPUStats.CPUUsage.TotalUsage) - float64(s.PreCPUStats.CPUUsage.TotalUsage)
	passed := float64(s.CPUStats.SystemUsage) - float64(s.PreCPUStats.SystemUsage)
	if used <= 0 || passed <= 0 || s.PreCPUStats.SystemUsage == 0 {
		return 0
	}
	cpus := float64(s.CPUStats.OnlineCPUs)
	if cpus == 0 {
		cpus = float64(len(s.CPUStats.CPUUsage.PercpuUsage))
	}
	return used / passed * cpus * 100
}

// memoryOf leaves out files that the kernel keeps for as long as nobody needs
// the memory: total_inactive_file with cgroups v1, inactive_file with v2.
func memoryOf(m container.MemoryStats) uint64 {
	cache, ok := m.Stats["total_inactive_file"]
	if !ok {
		cache = m.Stats["inactive_file"]
	}
	if cache < m.Usage {
		return m.Usage - cache
	}
	return m.Usage
}
