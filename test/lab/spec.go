package lab

import (
	"maps"
	"strconv"
	"strings"
	"time"
)

// ServiceSpec is a service of stand-in containers.
type ServiceSpec struct {
	Name      string
	Replicas  int               // default 1
	DependsOn []string          // services, for Compose's label (v2 only)
	Needs     []string          // services that must be healthy for this one to be; of NAME:PORT: that accept a connection
	Env       map[string]string // added to what the fields below say
	Labels    map[string]string // added to Compose's
	Restart   string            // no (default), always, unless-stopped, on-failure
	OneOff    bool              // as made by `docker compose run`

	// Health check of the containers.
	NoHealthcheck  bool
	HealthInterval time.Duration // default 500ms
	HealthTimeout  time.Duration // default 1s: what a hanging service costs
	HealthRetries  int           // default 2

	// Broken is how the first BrokenStarts starts are ("hang" or "error");
	// negative: all of them.
	Broken       string
	BrokenStarts int
	HealthyAfter time.Duration // answers 503 this long after each start
	ExitAfter    time.Duration // exits this long after each start, with
	ExitCode     int           // this code
	IgnoreTerm   bool          // only SIGKILL ends it
	LogLine      string        // printed at each start

	Memory    int64 // limit in bytes
	TTY       bool
	NoStart   bool // only created
	NoWait    bool // Service returns without awaiting health
	NoPublish bool // no port on the host
}

func (s ServiceSpec) withDefaults() ServiceSpec {
	if s.Replicas == 0 {
		s.Replicas = 1
	}
	if s.HealthInterval == 0 {
		s.HealthInterval = 500 * time.Millisecond
	}
	if s.HealthTimeout == 0 {
		s.HealthTimeout = time.Second
	}
	if s.HealthRetries == 0 {
		s.HealthRetries = 2
	}
	return s
}

// awaited says whether Service can wait for health: not of what is told to be
// broken or gone.
func (s ServiceSpec) awaited() bool {
	return !s.NoWait && !s.NoStart && !s.OneOff && s.BrokenStarts == 0 && s.ExitAfter == 0
}

// environment is the stand-in's; see its package comment.
func (s ServiceSpec) environment() []string {
	env := map[string]string{"STANDIN_HEALTH_TIMEOUT": s.HealthTimeout.String()}
	if s.BrokenStarts != 0 {
		mode := s.Broken
		if mode == "" {
			mode = "hang"
		}
		env["STANDIN_MODE"], env["STANDIN_BROKEN_STARTS"] = mode, strconv.Itoa(s.BrokenStarts)
	}
	if s.HealthyAfter > 0 {
		env["STANDIN_HEALTHY_AFTER"] = s.HealthyAfter.String()
	}
	if s.ExitAfter > 0 {
		env["STANDIN_EXIT_AFTER"], env["STANDIN_EXIT_CODE"] = s.ExitAfter.String(), strconv.Itoa(s.ExitCode)
	}
	if s.IgnoreTerm {
		env["STANDIN_IGNORE_TERM"] = "1"
	}
	if s.LogLine != "" {
		env["STANDIN_LOG"] = s.LogLine
	}
	var urls []string
	for _, need := range s.Needs {
		if strings.Contains(need, ":") {
			urls = append(urls, "tcp://"+need)
		} else {
			urls = append(urls, "http://"+need+":"+standinPort+"/health")
		}
	}
	env["STANDIN_NEEDS"] = strings.Join(urls, ",")
	maps.Copy(env, s.Env)
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}
