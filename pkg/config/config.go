// Package config loads the one configuration file: strictly, so that nothing in it
// is ignored, and with every mistake at its line and column and with its fix. It
// composes the sections; what a step's `with` means is decided by the kinds of
// pkg/actions, whose mistakes come back through File.Report.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// MaxSize of a configuration file in bytes.
const MaxSize = 1 << 20

// Options of loading.
type Options struct {
	// Env looks a variable up for ${env:}; nil means os.LookupEnv.
	Env func(name string) (string, bool)
}

// File is a configuration that was read without a mistake. It is immutable.
type File struct {
	Path   string // as it was given
	Config Config

	root    *yaml.Node
	source  source
	secrets []string
	hash    string
}

// Load reads, expands, decodes and checks a configuration file. The error is a
// *Report with all the mistakes that were found.
func Load(path string, opts Options) (*File, error) {
	if opts.Env == nil {
		opts.Env = os.LookupEnv
	}
	data, err := read(path)
	if err != nil {
		return nil, &Report{Path: path, Mistakes: strictyaml.Mistakes{{
			Message: "the configuration cannot be read: " + cause(err),
			Fix:     "write the file, or name another one with --config.file",
		}}}
	}
	sum := sha256.Sum256(data)
	f := &File{Path: path, source: newSource(data), hash: hex.EncodeToString(sum[:])}
	root, bad := parseOne(data)
	if bad != nil {
		return nil, f.Report(strictyaml.Mistakes{*bad})
	}
	f.root = root
	x := &expander{env: opts.Env, dir: filepath.Dir(path), failed: map[place]bool{}}
	x.expand(root)
	f.secrets = x.secrets
	f.Config = defaults()
	bads := x.mistakes
	if err := strictyaml.Decode(root, &f.Config); err != nil {
		bads = append(bads, notAt(strictyaml.From(err, root), x.failed)...)
	}
	v := &validator{c: &f.Config, root: root, dir: filepath.Dir(path), found: bads, bad: strictyaml.Sorted(slices.Clone(bads))}
	v.all()
	if err := f.Report(v.found); err != nil {
		return nil, err
	}
	f.Config.finish(filepath.Dir(path))
	return f, nil
}

// notAt drops mistakes at scalars whose expansion failed: a variable that is not
// set needs no second complaint about its type.
func notAt(ms strictyaml.Mistakes, failed map[place]bool) strictyaml.Mistakes {
	return slices.DeleteFunc(ms, func(m strictyaml.Mistake) bool { return failed[place{m.Line, m.Column}] })
}

// place in a file, from 1.
type place struct{ line, column int }

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, errors.New("it is larger than 1 MiB")
	}
	return data, nil
}

// cause of a file error without the path, which the mistake names already.
func cause(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// Hash is the SHA-256 of the file as it was read, in lower-case hex: the `config`
// field of records.
func (f *File) Hash() string { return f.hash }

// Root is the mapping of the whole file, expanded.
func (f *File) Root() *yaml.Node { return f.root }

// Secrets are the values that came from the environment (not from a default) or
// from files, and passwords inside such values that are URLs; those of at least
// strictyaml.MinSecret bytes, longest first, less what only names things (projects,
// services, URLs). Nothing that leaves the program may contain one.
func (f *File) Secrets() []string {
	named := f.names()
	return slices.DeleteFunc(slices.Clone(f.secrets), func(s string) bool { return slices.Contains(named, s) })
}

// names are values that say what things are called and where they are: they may come
// from the environment and are no secrets, and people could not read a record in
// which the project's name is blotted out.
func (f *File) names() []string {
	c := &f.Config
	out := []string{string(c.Mode), c.Storage.Path, c.Replica}
	for _, d := range c.Docker {
		out = append(out, d.Name, d.Host, d.Project)
		out = append(out, d.Services...)
	}
	for _, h := range c.HTTP {
		out = append(out, h.Name, h.Service, h.URL)
	}
	if c.Alertmanager != nil {
		out = append(out, c.Alertmanager.URL)
	}
	for _, r := range c.Receivers {
		out = append(out, r.Name)
	}
	for i := range c.Policies {
		out = append(out, c.Policies[i].Name, c.Policies[i].Runbook)
	}
	for _, u := range c.Upstreams {
		out = append(append(out, u.Name, u.StatusPage), u.Components...)
	}
	for _, g := range c.Guardrails {
		out = append(append(out, g.Name), g.Targets...)
	}
	for _, t := range c.TimeIntervals {
		out = append(out, t.Name)
	}
	return out
}

// Report turns mistakes found in this file, now or by a later stage, into one
// error of type *Report; nil when there are none.
func (f *File) Report(ms strictyaml.Mistakes) error {
	if len(ms) == 0 {
		return nil
	}
	ms = slices.Clone(ms)
	for i := range ms {
		ms[i].Message, ms[i].Fix = f.clean(ms[i].Message), f.clean(ms[i].Fix)
	}
	return &Report{Path: f.Path, Mistakes: strictyaml.Sorted(ms), source: f.source}
}

// clean takes secrets out of a text, whoever wrote it, and keeps it on one line.
func (f *File) clean(text string) string {
	for _, s := range f.secrets {
		text = strings.ReplaceAll(text, s, "(withheld)")
	}
	return strings.ReplaceAll(text, "\n", " ")
}
