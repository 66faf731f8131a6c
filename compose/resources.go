package compose

import (
	"strconv"

	"woodwork.dev/ww/model"
)

// resources sets `deploy`: the limits, and what more says.
func (g *generator) resources(s *object, m *model.Map, more func(deploy *object)) {
	deploy := newObject()
	if more != nil {
		more(deploy)
	}
	if r := m.Map("resources"); r != nil {
		limits, reserved := newObject(), newObject()
		for _, f := range r.Fields {
			v, ok := model.Scalar(f.Value)
			if !ok {
				g.errorf(f.At, "wrong-type", "write a number or a size, such as 256m", "%q can't be this", f.Key)
				continue
			}
			switch f.Key {
			case "cpus":
				if n, err := strconv.ParseFloat(v, 32); err != nil || n <= 0 {
					g.errorf(f.At, "wrong-type", "write a number of processors such as 0.5", "%q is no number of processors", v)
				}
				limits.set("cpus", raw(v))
			case "pids":
				if n, err := strconv.ParseInt(v, 10, 64); err != nil || n == 0 {
					g.errorf(f.At, "wrong-type", "write a number of processes such as 100", "%q is no number of processes", v)
				}
				limits.set("pids", number(v))
			case "memory", "memory_reservation":
				if _, err := model.Size(v); err != nil {
					g.errorf(f.At, "wrong-type", "write a size such as 256m", "%q is no size", v)
				}
				if f.Key == "memory" {
					limits.set("memory", raw(v))
				} else {
					reserved.set("memory", raw(v))
				}
			}
		}
		res := newObject()
		res.set("limits", limits.orNil()).set("reservations", reserved.orNil())
		deploy.set("resources", res.orNil())
	}
	s.set("deploy", deploy.orNil())
}
