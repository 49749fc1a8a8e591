package docker

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"
)

func TestSelfID_IsFoundInAContainerAndNotOnItsHost(t *testing.T) {
	id, other := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	inside := "734 715 0:50 / /proc rw - proc proc rw\n" +
		"741 733 254:1 /var/lib/docker/containers/" + id + "/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw\n"
	host := "200 25 0:45 / /var/lib/docker/containers/" + other + "/mounts/shm rw - tmpfs shm rw\n" +
		"26 25 254:1 /etc/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n"
	withHostRoot := "900 733 0:45 / /rootfs/var/lib/docker/containers/" + other + "/mounts/shm rw - tmpfs shm rw\n" + inside
	for name, c := range map[string]struct{ mountinfo, cgroup, want string }{
		"container, cgroup v2":           {inside, "0::/\n", id},
		"container with the host's root": {withHostRoot, "0::/\n", id},
		"other data root":                {strings.ReplaceAll(inside, "/var/lib/docker", "/data/docker"), "", id},
		"host":                           {host, "0::/user.slice/user-0.slice/session-1.scope\n", ""},
		"cgroup v1":                      {"", "12:cpu:/docker/" + id + "\n", id},
		"nested":                         {"", "12:cpu:/docker/" + other + "/docker/" + id + "\n", id},
		"systemd":                        {"", "0::/system.slice/docker-" + id + ".scope\n", id},
		"nothing":                        {"", "", ""},
		"short id":                       {"", "1:cpu:/docker/abcdef\n", ""},
	} {
		require.Equal(t, c.want, selfID(c.mountinfo, c.cgroup), name)
	}
}

func FuzzSelfID(f *testing.F) {
	f.Add("741 733 254:1 /containers/"+strings.Repeat("a", 64)+"/hosts /etc/hosts rw", "0::/")
	f.Fuzz(func(t *testing.T, mountinfo, cgroup string) {
		if id := selfID(mountinfo, cgroup); id != "" {
			require.Regexp(t, "^[0-9a-f]{64}$", id)
		}
	})
}

func TestNew_RefusesWhatItCannotWorkWith(t *testing.T) {
	good := Config{Name: "local", Host: "unix:///x.sock", Project: "p", Services: []string{"a", "b", "c"}}
	for want, change := range map[string]func(*Config){
		"ssh:// is not supported yet":   func(c *Config) { c.Host = "ssh://root@host" },
		"unable to parse":               func(c *Config) { c.Host = "nonsense" },
		"lower-case letters":            func(c *Config) { c.Name = "A_b" },
		"project is missing":            func(c *Config) { c.Project = "" },
		"listed twice":                  func(c *Config) { c.Services = []string{"a", "a"} },
		`service "z" is not declared`:   func(c *Config) { c.DependsOn = map[string][]string{"a": {"z"}} },
		"in a circle: a -> b -> c -> a": func(c *Config) { c.DependsOn = map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"a"}} },
		"in a circle: b -> b":           func(c *Config) { c.DependsOn = map[string][]string{"a": {"b"}, "b": {"b"}} },
	} {
		c := good
		change(&c)
		_, err := New([]Config{c})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "docker \"")
	}
	_, err := New([]Config{good, good})
	require.ErrorContains(t, err, "given twice")
	tcp := good
	tcp.Name, tcp.Host, tcp.Services = "far", "tcp://127.0.0.1:1", []string{"d"}
	e, err := New([]Config{good, tcp})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c", "d"}, e.Services())
	require.Equal(t, "docker:far/d", e.Target("d"))
	require.Empty(t, e.Target("z"))
	require.Len(t, e.Hands(), 2)
	require.NoError(t, e.Close())
}

func TestReader_CannotChangeAnything(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method)
		w.Header().Set("Api-Version", "1.41")
	}))
	defer server.Close()
	reader, err := dial("tcp://"+server.Listener.Addr().String(), true)
	require.NoError(t, err)
	defer reader.Close()
	ctx := t.Context()
	for _, err := range []error{
		reader.Restart(ctx, "x", nil), reader.Start(ctx, "x"), reader.Stop(ctx, "x", nil),
		reader.c.ContainerKill(ctx, "x", "KILL"), reader.c.ContainerRemove(ctx, "x", container.RemoveOptions{}),
	} {
		require.ErrorContains(t, err, "this client only reads")
	}
	for _, m := range got {
		require.Contains(t, []string{http.MethodGet, http.MethodHead}, m)
	}
}
