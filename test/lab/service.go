package lab

import (
	"context"
	"fmt"
	"strconv"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
)

const standinPort = "8080"

// Service makes and starts the containers of a stand-in service and waits until
// all are healthy, unless the spec says otherwise.
func (l *Lab) Service(ctx context.Context, spec ServiceSpec) error {
	spec = spec.withDefaults()
	tag, err := StandinImage(ctx, l.Docker)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.services[spec.Name] = spec
	l.mu.Unlock()
	for number := 1; number <= spec.Replicas; number++ {
		if err := l.standin(ctx, tag, spec, number); err != nil {
			return fmt.Errorf("service %s: %w", spec.Name, err)
		}
	}
	if !spec.awaited() || spec.NoHealthcheck {
		return nil
	}
	return l.WaitHealthy(ctx, spec.Name)
}

func (l *Lab) standin(ctx context.Context, tag string, spec ServiceSpec, number int) error {
	config := &container.Config{
		Image: tag, Env: spec.environment(), Tty: spec.TTY,
		Healthcheck: &container.HealthConfig{
			Test:     []string{"CMD", "/standin", "health"},
			Interval: spec.HealthInterval,
			Timeout:  spec.HealthTimeout + closeTimeout/12, // the program gives up by itself, and says so
			Retries:  spec.HealthRetries,
		},
	}
	if spec.NoHealthcheck {
		config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
	}
	host := &container.HostConfig{
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyMode(spec.Restart)},
		Resources:     container.Resources{Memory: spec.Memory},
	}
	if !spec.NoPublish {
		port, err := l.Port(ctx)
		if err != nil {
			return err
		}
		inside := nat.Port(standinPort + "/tcp")
		config.ExposedPorts = nat.PortSet{inside: {}}
		host.PortBindings = nat.PortMap{inside: {{HostIP: "127.0.0.1", HostPort: strconv.Itoa(port)}}}
	}
	return l.create(ctx, spec, number, config, host)
}

// create makes one container with Compose's labels in the project's network and
// starts it.
func (l *Lab) create(ctx context.Context, spec ServiceSpec, number int, config *container.Config, host *container.HostConfig) error {
	labels, err := l.labels(spec, number)
	if err != nil {
		return err
	}
	config.Labels = labels
	networkID, err := l.projectNetwork(ctx)
	if err != nil {
		return err
	}
	networks := &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
		l.Project + "_default": {NetworkID: networkID, Aliases: []string{spec.Name}},
	}}
	host.NetworkMode = container.NetworkMode(l.Project + "_default")
	created, err := l.Docker.ContainerCreate(ctx, config, host, networks, nil, l.containerName(spec, number))
	if err != nil {
		return err
	}
	if spec.NoStart {
		return nil
	}
	return l.Docker.ContainerStart(ctx, created.ID, container.StartOptions{})
}

// projectNetwork is made with the first container.
func (l *Lab) projectNetwork(ctx context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.network != "" {
		return l.network, nil
	}
	labels, err := l.ownLabels()
	if err != nil {
		return "", err
	}
	labels[LabelProject], labels[LabelNetwork] = l.Project, "default"
	created, err := l.Docker.NetworkCreate(ctx, l.Project+"_default", network.CreateOptions{Driver: "bridge", Labels: labels})
	if err != nil {
		return "", fmt.Errorf("network of project %s: %w", l.Project, err)
	}
	l.network = created.ID
	return l.network, nil
}
