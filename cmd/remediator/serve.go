package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kingpin/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/stellarescrow/remediator/pkg/app"
)

// serve is the daemon.
type serve struct {
	config   *string
	address  *string
	webFile  *string
	insecure *bool
	dryRun   *bool
	level    *string
	format   *string
}

func configFlag(c *kingpin.CmdClause) *string {
	return c.Flag("config.file", "Configuration file.").Default("config.yaml").String()
}

func (s *serve) register(a *kingpin.Application) *kingpin.CmdClause {
	c := a.Command("serve", "Run the daemon (the default command).")
	s.config = configFlag(c)
	s.address = c.Flag("web.listen-address", "Address to listen on.").Default("127.0.0.1:9095").String()
	s.webFile = c.Flag("web.config.file", "TLS, client certificates and basic auth, as in Prometheus.").Default("").String()
	s.insecure = c.Flag("web.insecure", "Listen beyond loopback without any authentication. Do not.").Bool()
	s.dryRun = c.Flag("dry-run", "Change nothing, whatever the configuration says.").Bool()
	s.level = c.Flag("log.level", "Least severe messages to log.").Default("info").Enum("debug", "info", "warn", "error")
	s.format = c.Flag("log.format", "Format of log lines.").Default("console").Enum("console", "json")
	return c
}

// boundary is set by tests that end the process at a stage boundary.
var boundary func(name string)

func (s *serve) run(ctx context.Context, io streams) error {
	log, err := newLogger(*s.level, *s.format, io)
	if err != nil {
		return err
	}
	defer log.Sync() //nolint:errcheck // standard error cannot be synced
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	a, err := app.Start(ctx, app.Options{
		ConfigFile: *s.config, ListenAddress: *s.address, WebConfigFile: *s.webFile, WebInsecure: *s.insecure,
		DryRun: *s.dryRun, Logger: log, Boundary: boundary,
	})
	if err != nil {
		return err
	}
	return a.Run(ctx, hup)
}

// newLogger logs to standard error, one line a message.
func newLogger(level, format string, io streams) (*zap.Logger, error) {
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log.level: %w", err)
	}
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey, enc.EncodeTime, enc.EncodeDuration = "time", zapcore.RFC3339NanoTimeEncoder, zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	if format == "json" {
		encoder = zapcore.NewJSONEncoder(enc)
	} else {
		enc.EncodeTime = zapcore.TimeEncoderOfLayout("2006-01-02 15:04:05.000")
		enc.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(enc)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(io.err)), l), zap.AddStacktrace(zapcore.DPanicLevel)), nil
}
