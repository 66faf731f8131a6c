package dockerx

import (
	"slices"
	"sort"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/blkiodev"
	"github.com/docker/docker/api/types/container"
)

// resources are what a service may use. What deploy.resources says wins over
// the service's own keys, as in compose.
func resources(s types.ServiceConfig) container.Resources {
	r := container.Resources{
		CgroupParent:       s.CgroupParent,
		CPUCount:           s.CPUCount,
		CPUPercent:         int64(s.CPUPercent),
		CPUPeriod:          s.CPUPeriod,
		CPUQuota:           s.CPUQuota,
		CPURealtimePeriod:  s.CPURTPeriod,
		CPURealtimeRuntime: s.CPURTRuntime,
		CPUShares:          s.CPUShares,
		CpusetCpus:         s.CPUSet,
		// In single precision, as the value is: 0.1 is then exactly 100,000,000.
		NanoCPUs:          int64(s.CPUS * 1e9),
		DeviceCgroupRules: s.DeviceCgroupRules,
		Memory:            int64(s.MemLimit),
		MemoryReservation: int64(s.MemReservation),
		MemorySwap:        int64(s.MemSwapLimit),
		OomKillDisable:    &s.OomKillDisable,
		Ulimits:           ulimits(s.Ulimits),
	}
	if s.MemSwappiness != 0 {
		n := int64(s.MemSwappiness)
		r.MemorySwappiness = &n
	}
	if s.PidsLimit != 0 {
		r.PidsLimit = &s.PidsLimit
	}
	blkio(s.BlkioConfig, &r)
	if s.Deploy != nil {
		limits(s.Deploy.Resources.Limits, &r)
		reservations(s.Deploy.Resources.Reservations, &r)
	}
	devices(s, &r)
	return r
}

func limits(l *types.Resource, r *container.Resources) {
	if l == nil {
		return
	}
	if l.MemoryBytes != 0 {
		r.Memory = int64(l.MemoryBytes)
	}
	if l.NanoCPUs != 0 {
		r.NanoCPUs = int64(l.NanoCPUs * 1e9)
	}
	if l.Pids > 0 {
		r.PidsLimit = &l.Pids
	}
}

func reservations(v *types.Resource, r *container.Resources) {
	if v == nil {
		return
	}
	if v.MemoryBytes != 0 {
		r.MemoryReservation = int64(v.MemoryBytes)
	}
	for _, d := range v.Devices {
		r.DeviceRequests = append(r.DeviceRequests, deviceRequest(d, d.Capabilities))
	}
}

func deviceRequest(d types.DeviceRequest, capabilities []string) container.DeviceRequest {
	return container.DeviceRequest{
		Driver:       d.Driver,
		Count:        int(d.Count),
		DeviceIDs:    d.IDs,
		Capabilities: [][]string{capabilities},
		Options:      d.Options,
	}
}

// isCDI tells whether a device is a name of the Container Device Interface,
// vendor.com/class=device, rather than a path.
func isCDI(d types.DeviceMapping) bool {
	kind, device, ok := strings.Cut(d.Source, "=")
	return ok && device != "" && d.Source == d.Target &&
		!strings.HasPrefix(kind, "/") && strings.Count(kind, "/") == 1
}

func devices(s types.ServiceConfig, r *container.Resources) {
	var named []string
	for _, d := range s.Devices {
		if isCDI(d) {
			named = append(named, d.Source)
			continue
		}
		r.Devices = append(r.Devices, container.DeviceMapping{
			PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: d.Permissions,
		})
	}
	if len(named) > 0 {
		r.DeviceRequests = append(r.DeviceRequests, container.DeviceRequest{Driver: "cdi", DeviceIDs: named})
	}
	for _, g := range s.Gpus {
		r.DeviceRequests = append(r.DeviceRequests, deviceRequest(g, append(slices.Clone(g.Capabilities), "gpu")))
	}
}

func ulimits(m map[string]*types.UlimitsConfig) []*container.Ulimit {
	var list []*container.Ulimit
	for name, u := range m {
		if u == nil {
			continue
		}
		l := &container.Ulimit{Name: name, Soft: int64(u.Single), Hard: int64(u.Single)}
		if u.Soft != 0 {
			l.Soft = int64(u.Soft)
		}
		if u.Hard != 0 {
			l.Hard = int64(u.Hard)
		}
		list = append(list, l)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

func blkio(b *types.BlkioConfig, r *container.Resources) {
	if b == nil {
		return
	}
	r.BlkioWeight = b.Weight
	for _, w := range b.WeightDevice {
		r.BlkioWeightDevice = append(r.BlkioWeightDevice, &blkiodev.WeightDevice{Path: w.Path, Weight: w.Weight})
	}
	r.BlkioDeviceReadBps = throttles(b.DeviceReadBps)
	r.BlkioDeviceReadIOps = throttles(b.DeviceReadIOps)
	r.BlkioDeviceWriteBps = throttles(b.DeviceWriteBps)
	r.BlkioDeviceWriteIOps = throttles(b.DeviceWriteIOps)
}

func throttles(list []types.ThrottleDevice) []*blkiodev.ThrottleDevice {
	var out []*blkiodev.ThrottleDevice
	for _, t := range list {
		out = append(out, &blkiodev.ThrottleDevice{Path: t.Path, Rate: uint64(t.Rate)})
	}
	return out
}
