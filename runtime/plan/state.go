package plan

import "time"

// Observed is one snapshot of what the engine holds of a project. Everything
// in it comes from listing calls and labels.
type Observed struct {
	Containers []Container
	Networks   []Network
	Volumes    []Volume
	Images     map[string]string // image reference → id, of those that were asked about and are there
	Stale      map[string]bool   // those of Images that are older than a service's pull policy wants
}

// Container is one container of a project.
type Container struct {
	ID         string
	Name       string
	Service    string
	Number     int
	OneOff     bool
	State      State
	Health     Health
	ExitCode   int
	Status     string // the engine's own words: "Up 3 seconds (healthy)"
	Image      string // reference that it was created with
	ImageID    string
	ConfigHash string
	// EffectHash and ContentHash are ww's own digests beside Compose's: of what
	// has an effect on a container, and of the contents of its configs and
	// secrets. Empty where another tool made it.
	EffectHash  string
	ContentHash string
	// Changes says what of its configuration isn't as wanted, in words; nil
	// where nobody has looked.
	Changes   []string
	DependsOn []Dependency
	Networks  []string // names of those that it is attached to
	// NetworkIDs has the ids of those by their names, where they are known: one
	// that was removed and made anew has another id.
	NetworkIDs map[string]string
	Mounts     []Mount
	TTY        bool     // known from an inspection only
	Probe      []string // its health check, as an engine writes it; likewise
	Check      *Check   // the last check that failed, if the newest one did; likewise
	Labels     map[string]string
	Ports      []Port
	IPs        map[string]string // network name → address
	Command    string
	Created    time.Time
}

// Check is how a health check came out.
type Check struct {
	ExitCode int    // negative where it was cut off, or couldn't be run
	Output   string // as far as the engine keeps it
}

// Mount is something that a container has mounted.
type Mount struct {
	Volume string // name of a volume; empty for anything else
	Source string // on the engine's machine
	Target string
	RW     bool
}

// State is the engine's word for what a container does.
type State string

const (
	Created    State = "created"
	Running    State = "running"
	Paused     State = "paused"
	Restarting State = "restarting"
	Removing   State = "removing"
	Exited     State = "exited"
	Dead       State = "dead"
)

// Health is the verdict of a container's health check; empty without one.
type Health string

const (
	Starting  Health = "starting"
	Healthy   Health = "healthy"
	Unhealthy Health = "unhealthy"
)

// Dependency is one edge as it stands in a container's label.
type Dependency struct {
	Service   string
	Condition string
	Restart   bool
}

// Port is a published or exposed port.
type Port struct {
	HostIP   string `json:"host_ip,omitempty"`
	Host     uint16 `json:"host_port,omitempty"` // 0: not published
	Target   uint16 `json:"target_port"`
	Protocol string `json:"protocol"`
}

// Network is a network that carries the project's label, or the name of one
// that the project wants.
type Network struct {
	ID     string
	Name   string
	Key    string // its key in the compose file, from the label
	Hash   string
	Owned  bool // it carries the project's label
	Labels map[string]string
}

// Volume is a named volume, likewise.
type Volume struct {
	Name   string
	Key    string
	Hash   string
	Owned  bool
	Labels map[string]string
}
