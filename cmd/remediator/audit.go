package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/stellarescrow/remediator/pkg/app"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/config"
)

func auditClause(a *kingpin.Application) *kingpin.CmdClause {
	return a.Command("audit", "The audit log: export, verify, follow.")
}

// filterFlags are the filters that export and follow share with the API.
type filterFlags struct {
	values map[string]*string
	types  *[]string
}

func (f *filterFlags) register(c *kingpin.CmdClause) {
	f.values = map[string]*string{}
	for name, help := range map[string]string{
		"since": "From this time on (RFC 3339, or a duration such as 2h for that long ago).", "until": "Before this time.",
		"incident": "Of this incident.", "alert": "Of this alert: its name, fingerprint or episode.",
		"target": "Concerning this target, such as docker:local/api.", "policy": "Of this policy.", "remediation": "Of this remediation.",
	} {
		f.values[name] = c.Flag(name, help).String()
	}
	f.types = c.Flag("type", "Of this type; may be repeated.").Strings()
}

func (f *filterFlags) query() url.Values {
	v := url.Values{}
	for name, value := range f.values {
		if *value != "" {
			v.Set(name, *value)
		}
	}
	for _, t := range *f.types {
		v.Add("type", t)
	}
	return v
}

// auditExport writes records as JSON lines.
type auditExport struct {
	config *string
	filter filterFlags
}

func (*auditExport) register(*kingpin.Application) *kingpin.CmdClause { return nil }

func (e *auditExport) registerUnder(c *kingpin.CmdClause) *kingpin.CmdClause {
	cl := c.Command("export", "Write records as JSON lines, also while the daemon runs.")
	e.config = configFlag(cl)
	e.filter.register(cl)
	return cl
}

func (e *auditExport) run(ctx context.Context, s streams) error {
	f, err := audit.FilterFromValues(e.filter.query(), time.Now())
	if err != nil {
		return err
	}
	store, _, err := openStore(ctx, *e.config)
	if err != nil {
		return err
	}
	defer store.Close()
	out := bufio.NewWriterSize(s.out, 1<<16)
	err = store.Scan(ctx, f, func(st audit.Stored) error {
		_, _ = out.Write(st.JSON)
		return out.WriteByte('\n')
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

func openStore(ctx context.Context, path string) (audit.Driver, *config.File, error) {
	file, err := config.Load(path, config.Options{})
	if err != nil {
		return nil, nil, err
	}
	store, err := app.OpenStore(ctx, file)
	return store, file, err
}

// auditVerify recomputes the chain.
type auditVerify struct {
	config, head, file *string
	selection          *bool
}

func (*auditVerify) register(*kingpin.Application) *kingpin.CmdClause { return nil }

func (v *auditVerify) registerUnder(c *kingpin.CmdClause) *kingpin.CmdClause {
	cl := c.Command("verify", "Recompute every hash and link; a line `replica seq reason` per fault, exit 1.")
	v.config = configFlag(cl)
	v.head = cl.Flag("head", "Head exported earlier, so that a cut tail shows.").PlaceHolder("SEQ:HASH").String()
	v.selection = cl.Flag("selection", "The file holds selected records: gaps are no faults.").Bool()
	v.file = cl.Arg("FILE", "Exported JSON lines (- for standard input) instead of the store.").String()
	return cl
}

func (v *auditVerify) run(ctx context.Context, s streams) error {
	file, err := config.Load(*v.config, config.Options{})
	if err != nil {
		return err
	}
	o := audit.VerifyOptions{Key: audit.Key([]byte(file.Config.Audit.Key)), Sparse: *v.selection}
	if *v.head != "" {
		h, err := parseHead(*v.head)
		if err != nil {
			return err
		}
		o.Heads = append(o.Heads, h)
	}
	src, done, err := v.source(ctx, file, s.in)
	if err != nil {
		return err
	}
	defer done()
	faults, sum, err := audit.Verify(ctx, src, audit.Filter{}, o)
	if err != nil {
		return err
	}
	for _, f := range faults {
		fmt.Fprintln(s.out, f)
	}
	if len(faults) > 0 {
		word := "faults"
		if len(faults) == 1 {
			word = "fault"
		}
		fmt.Fprintf(s.err, "%d %s in %d records\n", len(faults), word, sum.Records)
		return errNo
	}
	if sum.Gaps > 0 {
		fmt.Fprintf(s.err, "every record is as it was written: %d records, with %d gaps between them\n", sum.Records, sum.Gaps)
	} else {
		fmt.Fprintf(s.err, "the chain is whole: %d records\n", sum.Records)
	}
	for _, h := range sum.Heads {
		fmt.Fprintf(s.err, "head of %s: %d:%s\n", h.Replica, h.Seq, h.Hash)
	}
	return nil
}

func (v *auditVerify) source(ctx context.Context, file *config.File, in io.Reader) (audit.Source, func(), error) {
	switch *v.file {
	case "":
		store, err := app.OpenStore(ctx, file)
		if err != nil {
			return nil, nil, err
		}
		return store, func() { store.Close() }, nil
	case stdinFile:
		return audit.Lines{R: in}, func() {}, nil
	default:
		f, err := os.Open(*v.file)
		if err != nil {
			return nil, nil, err
		}
		return audit.Lines{R: f}, func() { f.Close() }, nil
	}
}

func parseHead(s string) (audit.Head, error) {
	seq, hash, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(seq, 10, 64)
	if !ok || err != nil || len(hash) != len(audit.ZeroHash) {
		return audit.Head{}, fmt.Errorf("--head %q: want SEQ:HASH as the daemon exported it", s)
	}
	return audit.Head{Seq: n, Hash: hash}, nil
}

// auditFollow streams records from a running daemon.
type auditFollow struct {
	daemon daemonFlags
	filter filterFlags
}

func (*auditFollow) register(*kingpin.Application) *kingpin.CmdClause { return nil }

func (f *auditFollow) registerUnder(c *kingpin.CmdClause) *kingpin.CmdClause {
	cl := c.Command("follow", "Stream records from a running daemon as JSON lines.")
	f.daemon.register(cl)
	f.filter.register(cl)
	return cl
}

func (f *auditFollow) run(ctx context.Context, s streams) error {
	c, err := f.daemon.client()
	if err != nil {
		return err
	}
	q := f.filter.query()
	q.Set("follow", "1")
	body, err := c.Stream(ctx, "GET", "/api/v1/audit?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(s.out, body); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
