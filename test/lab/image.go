package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

//go:embed standin/*.go
var standinSource embed.FS

const standinDockerfile = `FROM scratch
COPY standin /standin
EXPOSE 8080
HEALTHCHECK --interval=500ms --timeout=3s --retries=2 CMD ["/standin", "health"]
ENTRYPOINT ["/standin"]
`

// hostDockerfile is an empty image, for programs of the host that are mounted.
const hostDockerfile = "FROM scratch\nENV PATH=/usr/bin:/bin\n"

// StandinImage builds the image of the stand-in service unless the engine has
// it, and answers its tag, which names the hash of its source: labs share it.
// It needs the go command once per version of the source.
func StandinImage(ctx context.Context, docker *client.Client) (string, error) {
	hash := sha256.New()
	files, err := standinSource.ReadDir("standin")
	if err != nil {
		return "", err
	}
	sources := map[string][]byte{}
	for _, f := range files {
		text, err := standinSource.ReadFile("standin/" + f.Name())
		if err != nil {
			return "", err
		}
		sources[f.Name()] = text
		fmt.Fprintf(hash, "%s %d\n%s", f.Name(), len(text), text)
	}
	fmt.Fprint(hash, standinDockerfile, runtime.GOARCH)
	version := hex.EncodeToString(hash.Sum(nil))[:12]
	return ensureImage(ctx, docker, "standin", version, func(ctx context.Context) (map[string][]byte, error) {
		binary, err := buildStandin(ctx, sources, version)
		if err != nil {
			return nil, err
		}
		return map[string][]byte{"Dockerfile": []byte(standinDockerfile), "standin": binary}, nil
	})
}

// HostImage builds the empty image in which the host's programs run.
func HostImage(ctx context.Context, docker *client.Client) (string, error) {
	sum := sha256.Sum256([]byte(hostDockerfile))
	return ensureImage(ctx, docker, "host", hex.EncodeToString(sum[:])[:12], func(context.Context) (map[string][]byte, error) {
		return map[string][]byte{"Dockerfile": []byte(hostDockerfile)}, nil
	})
}

var imageMu sync.Mutex // one look at a time within this process; the lock file does it between processes

func ensureImage(ctx context.Context, docker *client.Client, name, version string, files func(context.Context) (map[string][]byte, error)) (string, error) {
	imageMu.Lock()
	defer imageMu.Unlock()
	tag := "remediator-lab/" + name + ":" + version
	_, err := docker.ImageInspect(ctx, tag)
	if err == nil || !cerrdefs.IsNotFound(err) {
		return tag, err
	}
	unlock, err := lockFile(filepath.Join(cacheDir(), "image-"+name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := docker.ImageInspect(ctx, tag); err == nil {
		return tag, nil // another process was faster
	}
	content, err := files(ctx)
	if err != nil {
		return "", err
	}
	archive, err := tarOf(content)
	if err != nil {
		return "", err
	}
	resp, err := docker.ImageBuild(ctx, archive, build.ImageBuildOptions{
		Tags: []string{tag}, Labels: map[string]string{LabelImage: version}, Remove: true, ForceRemove: true, Version: build.BuilderV1,
	})
	if err != nil {
		return "", fmt.Errorf("build image %s: %w", tag, err)
	}
	defer resp.Body.Close()
	return tag, buildError(resp.Body, tag)
}

// buildError reads the builder's messages to the end; only then is it done.
func buildError(r io.Reader, tag string) error {
	decoder := json.NewDecoder(r)
	for {
		var message struct {
			Error string `json:"error"`
		}
		switch err := decoder.Decode(&message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("build image %s: %w", tag, err)
		case message.Error != "":
			return fmt.Errorf("build image %s: %s", tag, message.Error)
		}
	}
}

func tarOf(files map[string][]byte) (io.Reader, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return &buf, w.Close()
}

// buildStandin compiles the program into the cache unless it is there.
func buildStandin(ctx context.Context, sources map[string][]byte, version string) ([]byte, error) {
	path := filepath.Join(cacheDir(), "standin-"+version)
	if binary, err := os.ReadFile(path); err == nil {
		return binary, nil
	}
	dir, err := os.MkdirTemp(cacheDir(), "build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	sources["go.mod"] = []byte("module standin\n\ngo 1.26\n")
	for name, text := range sources {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", "standin.out", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build of the stand-in service: %w\n%s", err, out)
	}
	built := filepath.Join(dir, "standin.out")
	if err := os.Rename(built, path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// RemoveImages removes the images that labs share, as far as no container uses
// them, and answers how many.
func RemoveImages(ctx context.Context, docker *client.Client) (int, error) {
	images, err := docker.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("label", LabelImage))})
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, i := range images {
		_, err := docker.ImageRemove(ctx, i.ID, image.RemoveOptions{PruneChildren: true})
		switch {
		case err == nil:
			removed++
		case cerrdefs.IsNotFound(err) || cerrdefs.IsConflict(err):
		default:
			return removed, err
		}
	}
	return removed, nil
}

// cacheDir is per user and made when missing.
func cacheDir() string {
	base, err := os.UserCacheDir()
	if err != nil {
		base = filepath.Join(os.TempDir(), fmt.Sprintf("cache-%d", os.Getuid()))
	}
	dir := filepath.Join(base, "remediator-lab")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return os.TempDir()
	}
	return dir
}

// lockFile waits for an exclusive lock, which the kernel releases with the process.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}
