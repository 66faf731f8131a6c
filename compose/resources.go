package compose

import "woodwork.dev/ww/model"

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
				limits.set("cpus", raw(v))
			case "pids":
				limits.set("pids", number(v))
			case "memory", "memory_reservation":
				where := limits
				if f.Key == "memory_reservation" {
					where = reserved
				}
				where.set("memory", raw(v))
			}
		}
		res := newObject()
		res.set("limits", limits.orNil()).set("reservations", reserved.orNil())
		deploy.set("resources", res.orNil())
	}
	s.set("deploy", deploy.orNil())
}
