package dockerx

import (
	"testing"

	"github.com/docker/docker/api/types/container"
)

func TestUsage(t *testing.T) {
	var s container.StatsResponse
	s.CPUStats.CPUUsage.TotalUsage, s.PreCPUStats.CPUUsage.TotalUsage = 600, 100
	s.CPUStats.SystemUsage, s.PreCPUStats.SystemUsage = 3000, 1000
	s.CPUStats.OnlineCPUs = 4
	s.MemoryStats = container.MemoryStats{Usage: 1000, Limit: 4000, Stats: map[string]uint64{"inactive_file": 300}}
	s.Networks = map[string]container.NetworkStats{"eth0": {RxBytes: 1, TxBytes: 2}, "eth1": {RxBytes: 10, TxBytes: 20}}
	s.BlkioStats.IoServiceBytesRecursive = []container.BlkioStatEntry{{Op: "Read", Value: 5}, {Op: "write", Value: 6}, {Op: "Total", Value: 11}}
	s.PidsStats.Current = 7
	want := Usage{CPU: 100, Memory: 700, MemoryLimit: 4000, NetIn: 11, NetOut: 22, Read: 5, Written: 6, PIDs: 7}
	if got := usageOf(s); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	s.PreCPUStats = container.CPUStats{} // the first sample has nothing to be compared with
	if got := usageOf(s); got.CPU != 0 {
		t.Errorf("of one sample: %v %%", got.CPU)
	}
	s.MemoryStats.Stats["total_inactive_file"] = 5000 // more than there is
	if got := usageOf(s); got.Memory != 1000 {
		t.Errorf("memory %d", got.Memory)
	}
}
