// Command standin is the service that the lab's containers run: a static program
// that can be told to misbehave in the ways remediator is there for.
//
//	standin          serves /health and /control/...
//	standin health   asks the serving one; the image's HEALTHCHECK
//
// Environment, all optional:
//
//	STANDIN_ADDR            address to serve on (":8080")
//	STANDIN_HEALTH_TIMEOUT  patience of `standin health` ("1s")
//	STANDIN_HEALTHY_AFTER   answer 503 this long after each start
//	STANDIN_MODE            "hang" or "error": how the first starts are broken
//	STANDIN_BROKEN_STARTS   how many first starts that concerns (-1: all)
//	STANDIN_NEEDS           comma-separated URLs that must answer 200 for /health to;
//	                        of tcp://HOST:PORT: that accept a connection
//	STANDIN_EXIT_AFTER      exit this long after each start, with
//	STANDIN_EXIT_CODE       this code
//	STANDIN_IGNORE_TERM     "1": only SIGKILL ends it
//	STANDIN_IGNORE_HUP      "1": SIGHUP does not end it
//	STANDIN_LOG             a line printed at each start
//
// What must outlive a restart is kept in /state.json, in the container's own
// layer: a restarted container finds it, a recreated one starts afresh.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "health" {
		os.Exit(health())
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
}

func serve() error {
	s, err := newService(stateFile)
	if err != nil {
		return err
	}
	if line := os.Getenv("STANDIN_LOG"); line != "" {
		fmt.Println(line)
	}
	if err := exitLater(); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr())
	if err != nil {
		return err
	}
	if os.Getenv("STANDIN_IGNORE_HUP") == "1" {
		signal.Ignore(syscall.SIGHUP)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for sig := range stop {
			fmt.Println("standin: got", sig)
			if os.Getenv("STANDIN_IGNORE_TERM") != "1" {
				os.Exit(0)
			}
		}
	}()
	fmt.Println("standin: serving on", listener.Addr())
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(listener)
}

func exitLater() error {
	after := os.Getenv("STANDIN_EXIT_AFTER")
	if after == "" {
		return nil
	}
	d, err := time.ParseDuration(after)
	if err != nil {
		return fmt.Errorf("STANDIN_EXIT_AFTER: %w", err)
	}
	code, err := intEnv("STANDIN_EXIT_CODE")
	if err != nil {
		return err
	}
	time.AfterFunc(d, func() { os.Exit(code) })
	return nil
}

func health() int {
	timeout, err := durationEnv("STANDIN_HEALTH_TIMEOUT", time.Second)
	if err != nil {
		fmt.Println("health:", err)
		return 1
	}
	_, port, err := net.SplitHostPort(addr())
	if err != nil {
		fmt.Println("health:", err)
		return 1
	}
	if err := get("http://127.0.0.1:"+port+"/health", timeout); err != nil {
		fmt.Println("health:", err)
		return 1
	}
	fmt.Println("health: ok")
	return 0
}

// get answers nil for a 200, or for tcp:// an accepted connection, within the timeout.
func get(url string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if address, ok := strings.CutPrefix(url, "tcp://"); ok {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("no answer in %s", timeout)
		}
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return nil
}

func addr() string {
	if a := os.Getenv("STANDIN_ADDR"); a != "" {
		return a
	}
	return ":8080"
}

func needs() []string {
	var urls []string
	for url := range strings.SplitSeq(os.Getenv("STANDIN_NEEDS"), ",") {
		if url != "" {
			urls = append(urls, url)
		}
	}
	return urls
}
