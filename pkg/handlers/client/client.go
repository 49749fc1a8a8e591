// Package client talks to a running daemon: over its control socket, or over TCP
// with a token.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// Options say where the daemon is. Socket is used where URL is empty.
type Options struct {
	Socket    string
	URL       string // http://HOST:PORT or https://...
	TokenFile string // bearer token; its single trailing newline is stripped
	CAFile    string // that signed the daemon's certificate, beside the system's
}

// Client of one daemon. It is safe for concurrent use.
type Client struct {
	base  string
	where string // for error texts
	token string
	http  *http.Client
}

// New checks the options and reads the files; it connects to nothing yet.
func New(o Options) (*Client, error) {
	transport := &http.Transport{Proxy: nil}
	c := &Client{http: &http.Client{Transport: transport, CheckRedirect: noRedirect}}
	if o.URL == "" {
		if o.Socket == "" {
			return nil, errors.New("neither --url nor a control socket is known: where is the daemon?")
		}
		if o.TokenFile != "" {
			return nil, errors.New("--token-file goes with --url: the control socket asks for no token")
		}
		c.base, c.where = "http://localhost", o.Socket
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", o.Socket)
		}
		return c, nil
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("--url %q: want http://HOST:PORT or https://HOST:PORT", o.URL)
	}
	c.base, c.where = strings.TrimSuffix(u.String(), "/"), u.Redacted()
	if transport.TLSClientConfig, err = trust(o.CAFile); err != nil {
		return nil, err
	}
	if o.TokenFile == "" {
		return c, nil
	}
	b, err := os.ReadFile(o.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("--token-file: %w", err)
	}
	if c.token = strings.TrimSuffix(string(b), "\n"); c.token == "" {
		return nil, fmt.Errorf("--token-file: %s holds no token: it is empty", o.TokenFile)
	}
	return c, nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func trust(caFile string) (*tls.Config, error) {
	if caFile == "" {
		return nil, nil
	}
	b, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("certificate authority: %s holds no PEM certificate", caFile)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// Do sends body, as JSON unless it is nil (a json.RawMessage goes as it is), and
// decodes the answer into out unless that is nil. path starts with a slash and
// may carry a query. What the daemon refuses is a *problem.Problem.
func (c *Client) Do(ctx context.Context, method, path string, body, out any) error {
	stream, err := c.Stream(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer stream.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, stream)
	} else {
		err = json.NewDecoder(stream).Decode(out)
	}
	if err != nil {
		return fmt.Errorf("cannot read the answer of %s to %s %s: %w", c.where, method, path, err)
	}
	return nil
}

// Stream is Do for answers that are read bit by bit, as the audit log is. The
// caller closes it.
func (c *Client) Stream(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, payload)
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("cannot reach remediator at %s: %w: is it running?", c.where, unwrapURL(err))
	}
	if res.StatusCode/100 == 2 {
		return res.Body, nil
	}
	defer res.Body.Close()
	return nil, refusal(res)
}

// unwrapURL drops the address that url.Error adds: the socket's is made up.
func unwrapURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// refusal is the problem of a response, or one made up from its status where a
// proxy or exporter-toolkit answered instead of the daemon.
func refusal(res *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	p := &problem.Problem{}
	if kind == problem.ContentType && json.Unmarshal(b, p) == nil && p.Status == res.StatusCode {
		return p
	}
	return problem.New(res.StatusCode, "not_remediator", "%s", strings.TrimSpace(string(b[:min(len(b), 200)])))
}
