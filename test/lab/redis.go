package lab

import (
	"context"
	"net/url"
)

// RedisSpec is a Redis server without persistence.
type RedisSpec struct {
	Name     string // service; default redis
	Restart  string
	Password string // default RedisPassword
}

// Redis is a running server.
type Redis struct {
	Service string
	URL     string // over the host's loopback, with the password
	Inside  string // for other containers of the project
	Address string // host:port on the host
}

// RedisPassword is what Redis asks for unless the spec says otherwise.
const RedisPassword = "lab-secret-redis"

// Redis starts a Redis server out of the host's programs, with StellarEscrow's
// memory limit and policy, and waits until it is ready.
func (l *Lab) Redis(ctx context.Context, spec RedisSpec) (*Redis, error) {
	if spec.Name == "" {
		spec.Name = "redis"
	}
	if spec.Password == "" {
		spec.Password = RedisPassword
	}
	server, err := program("redis-server", "redis-server", "/usr/bin", "/usr/local/bin")
	if err != nil {
		return nil, err
	}
	cli, err := program("redis-cli", "redis-tools", "/usr/bin", "/usr/local/bin")
	if err != nil {
		return nil, err
	}
	address, err := l.hostContainer(ctx, hostService{
		spec: ServiceSpec{Name: spec.Name, Restart: spec.Restart},
		command: []string{
			server, "--bind", "0.0.0.0", "--port", "6379", "--dir", "/data", "--save", "", "--appendonly", "no",
			"--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru", "--requirepass", spec.Password,
		},
		env: []string{"REDISCLI_AUTH=" + spec.Password},
		// redis-cli ends with 0 even when it was refused: its answer counts.
		check:  []string{"CMD", "/bin/sh", "-c", `[ "$(` + cli + ` -h 127.0.0.1 ping)" = PONG ]`},
		port:   6379,
		memory: "64m",
	})
	if err != nil {
		return nil, err
	}
	inside := url.URL{Scheme: "redis", User: url.UserPassword("", spec.Password), Host: spec.Name + ":6379"}
	outside := inside
	outside.Host = address
	return &Redis{Service: spec.Name, URL: outside.String(), Inside: inside.String(), Address: address}, nil
}
