package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
)

// Labels of everything that a lab makes.
const (
	// LabelRun is the run that an object belongs to.
	LabelRun = "remediator.lab"
	// LabelOwner names the process of that run.
	LabelOwner = "remediator.lab.owner"
	// LabelImage is on the images that labs share, with the hash of their source.
	LabelImage = "remediator.lab.image"
)

const (
	dirPrefix = "remediator-lab-"
	ownerFile = "owner"
)

var sweepOnce = func() func(context.Context, *client.Client) error {
	var once sync.Once
	return func(ctx context.Context, docker *client.Client) (err error) {
		once.Do(func() { _, err = Sweep(ctx, docker) })
		return err
	}
}()

// object is one thing on the engine that belongs to a run.
type object struct{ kind, id, name, run, owner string }

// Leftovers names what the engine and the temporary directory still hold of the
// given runs, or of any run when none is given, as "kind name (run)".
func Leftovers(ctx context.Context, docker *client.Client, runs ...string) ([]string, error) {
	objects, err := list(ctx, docker, runs...)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, o := range objects {
		names = append(names, fmt.Sprintf("%s %s (%s)", o.kind, o.name, o.run))
	}
	patterns := []string{"*"}
	if len(runs) > 0 {
		patterns = patterns[:0]
		for _, run := range runs {
			patterns = append(patterns, run+"-*")
		}
	}
	for _, pattern := range patterns {
		dirs, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+pattern))
		if err != nil {
			return nil, err
		}
		for _, dir := range dirs {
			names = append(names, "directory "+dir)
		}
	}
	return names, nil
}

// Sweep removes what runs left whose process is dead, and answers those runs.
func Sweep(ctx context.Context, docker *client.Client) ([]string, error) {
	here, err := where()
	if err != nil {
		return nil, err
	}
	objects, err := list(ctx, docker)
	if err != nil {
		return nil, err
	}
	dead := map[string]bool{}
	for _, o := range objects {
		if who, err := parseOwner(o.owner); err != nil || who.dead(here) {
			dead[o.run] = true
		}
	}
	errs := []error{markDeadDirs(here, dead)}
	var runs []string
	for run := range dead {
		runs = append(runs, run)
		errs = append(errs, removeRun(ctx, docker, run), removeDirs(run))
	}
	return runs, errors.Join(errs...)
}

// markDeadDirs adds the runs that left a directory, perhaps nothing else.
func markDeadDirs(here owner, dead map[string]bool) error {
	files, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*", ownerFile))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if who, err := parseOwner(string(text)); err == nil && who.dead(here) {
			run, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(filepath.Dir(file)), dirPrefix), "-")
			dead[run] = true
		}
	}
	return nil
}

func removeDirs(run string) error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+run+"-*"))
	errs := []error{err}
	for _, dir := range dirs {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

func labelFilter(runs ...string) filters.Args {
	args := filters.NewArgs()
	for _, run := range runs {
		args.Add("label", LabelRun+"="+run)
	}
	if len(runs) == 0 {
		args.Add("label", LabelRun)
	}
	return args
}

// list answers containers first, then what they use. Several labels in one
// filter would all have to match, so that runs are asked for one by one.
func list(ctx context.Context, docker *client.Client, runs ...string) ([]object, error) {
	if len(runs) > 1 {
		var all []object
		for _, run := range runs {
			some, err := list(ctx, docker, run)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	}
	var objects []object
	containers, err := docker.ContainerList(ctx, container.ListOptions{All: true, Filters: labelFilter(runs...)})
	if err != nil {
		return nil, err
	}
	for _, c := range containers {
		objects = append(objects, object{"container", c.ID, strings.Join(c.Names, ","), c.Labels[LabelRun], c.Labels[LabelOwner]})
	}
	networks, err := docker.NetworkList(ctx, network.ListOptions{Filters: labelFilter(runs...)})
	if err != nil {
		return nil, err
	}
	for _, n := range networks {
		objects = append(objects, object{"network", n.ID, n.Name, n.Labels[LabelRun], n.Labels[LabelOwner]})
	}
	volumes, err := docker.VolumeList(ctx, volume.ListOptions{Filters: labelFilter(runs...)})
	if err != nil {
		return nil, err
	}
	for _, v := range volumes.Volumes {
		objects = append(objects, object{"volume", v.Name, v.Name, v.Labels[LabelRun], v.Labels[LabelOwner]})
	}
	return objects, nil
}

// removeRun removes containers before the networks and volumes that they hold.
func removeRun(ctx context.Context, docker *client.Client, run string) error {
	objects, err := list(ctx, docker, run)
	errs := []error{err}
	for _, o := range objects {
		switch o.kind {
		case "container":
			err = removeContainer(ctx, docker, o.id)
		case "network":
			err = docker.NetworkRemove(ctx, o.id)
		case "volume":
			err = docker.VolumeRemove(ctx, o.id, true)
		}
		if err != nil && !cerrdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("remove %s %s: %w", o.kind, o.name, err))
		}
	}
	return errors.Join(errs...)
}

// removeContainer tolerates that somebody else is removing it: it waits for
// that to be over, so that the network is free afterwards.
func removeContainer(ctx context.Context, docker *client.Client, id string) error {
	err := docker.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if !cerrdefs.IsConflict(err) {
		return err
	}
	gone, errs := docker.ContainerWait(ctx, id, container.WaitConditionRemoved)
	select {
	case <-gone:
		return nil
	case err := <-errs:
		return err
	}
}
