package plan

import "strings"

// linkOrder has a container created after those that it has links to: an engine
// knows them by name alone, and takes a link to nothing for none.
func (u *up) linkOrder() {
	for _, name := range u.order {
		for _, link := range u.want.Services[name].Links {
			to, _, _ := strings.Cut(link, ":")
			for _, sl := range u.slots[name] {
				if sl.create == nil || to == name {
					continue
				}
				for _, o := range u.slots[to] {
					sl.create.after(o.create)
				}
			}
		}
	}
}
