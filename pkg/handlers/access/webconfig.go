package access

import (
	"fmt"
	"os"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
)

// WebConfig is what remediator needs to know of an exporter-toolkit web
// configuration file; TLS and basic auth themselves are the toolkit's work.
type WebConfig struct {
	TLS       bool
	BasicAuth bool // basic_auth_users is not empty
	Certs     bool // client certificates are verified, if given or always
}

// Proves tells whether the file lets callers prove a name.
func (w WebConfig) Proves() bool { return w.BasicAuth || w.Certs }

// LoadWebConfig reads and validates the file, certificates included; an empty
// path is no web config. A rate_limit is refused.
func LoadWebConfig(path string) (WebConfig, error) {
	if path == "" {
		return WebConfig{}, nil
	}
	if err := web.Validate(path); err != nil {
		return WebConfig{}, fmt.Errorf("web config %s: %w", path, err)
	}
	w, limited, err := peek(path)
	if err != nil {
		return WebConfig{}, err
	}
	if limited {
		return WebConfig{}, fmt.Errorf("web config %s: rate_limit answers 429, upon which Alertmanager drops the notification (it retries 5xx only): remove rate_limit", path)
	}
	return w, nil
}

// peek reads the few keys that matter here. The toolkit has validated the file,
// or will refuse every request.
func peek(path string) (WebConfig, bool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return WebConfig{}, false, fmt.Errorf("web config: %w", err)
	}
	var c struct {
		TLS struct {
			Cert       string `yaml:"cert"`
			CertFile   string `yaml:"cert_file"`
			ClientAuth string `yaml:"client_auth_type"`
		} `yaml:"tls_server_config"`
		Users     map[string]string `yaml:"basic_auth_users"`
		RateLimit map[string]any    `yaml:"rate_limit"`
	}
	if err := yaml.Unmarshal(b, &c); err != nil {
		// The text of a YAML error may quote the file, and with it a hash.
		return WebConfig{}, false, fmt.Errorf("web config %s: not valid YAML", path)
	}
	return WebConfig{
		TLS:       c.TLS.Cert != "" || c.TLS.CertFile != "",
		BasicAuth: len(c.Users) > 0,
		Certs:     c.TLS.ClientAuth == "RequireAndVerifyClientCert" || c.TLS.ClientAuth == "VerifyClientCertIfGiven",
	}, len(c.RateLimit) > 0, nil
}
