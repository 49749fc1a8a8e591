package httprequest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
)

// accept does something with each request, below HTTP. It counts connections.
func accept(t *testing.T, f func(net.Conn)) (url string, n *atomic.Int64) {
	t.Helper()
	n = &atomic.Int64{}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
			}
			f(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "http://" + l.Addr().String(), n
}

func TestRequest_WhatWasSentAndNotAnsweredIsUnknownAndNotRepeated(t *testing.T) {
	for name, f := range map[string]func(net.Conn){
		"closed":  func(net.Conn) {},
		"reset":   func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) },
		"no HTTP": func(c net.Conn) { _, _ = io.WriteString(c, "hello\r\n\r\n") },
		"cut in the body": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		},
		"hangs": func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, // until the client gives up
		"trickles": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
			_, _ = c.Read(make([]byte, 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, n := accept(t, f)
			_, res, err := send(t, &services{}, "{http: indexer, method: POST, path: '/x?k="+bearer+"', body: x, timeout: 300ms}", Entry{Name: "indexer", URL: url, Bearer: bearer})
			require.Equal(t, actions.CodeOutcomeUnknown, actions.CodeOf(err), "%v", err)
			require.ErrorContains(t, err, "POST "+url+"/x: the request was sent")
			require.NotContains(t, err.Error(), bearer)
			require.False(t, res.OK)
			require.Equal(t, int64(1), n.Load())
		})
	}
}

func TestRequest_WhatWasNotSentIsUnreachable(t *testing.T) {
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	tls.StartTLS()
	t.Cleanup(tls.Close)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	for name, e := range map[string]Entry{
		"refused":                     {URL: "http://" + l.Addr().String()},
		"refused at the container":    {URL: "http://indexer:" + port, Service: "indexer"},
		"a name without an address":   {URL: "http://no-such-host.invalid"},
		"a certificate without trust": {URL: tls.URL},
	} {
		t.Run(name, func(t *testing.T) {
			e.Name, e.Bearer = "indexer", bearer
			_, res, err := send(t, &services{}, "{http: indexer, method: POST, body: x}", e)
			require.Equal(t, actions.CodeUnreachable, actions.CodeOf(err), "%v", err)
			require.ErrorContains(t, err, "nothing was sent")
			require.NotContains(t, err.Error(), "\n")
			require.False(t, res.OK)
		})
	}
}

func TestRequest_TheServiceIsLookedAtRightBeforeSending(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	svc := &services{}
	e := Entry{Name: "indexer", Service: "indexer", URL: s.URL}
	a, err := decodeWith(svc, "{http: indexer, method: POST}", e)
	require.NoError(t, err)
	p, err := a.Plan(t.Context(), scope())
	require.NoError(t, err)
	hands := actions.NewHands(Hands([]Entry{e}, svc))

	svc.gone = true
	_, err = a.Plan(t.Context(), scope())
	require.Equal(t, actions.CodeTargetNotFound, actions.CodeOf(err))
	_, err = a.Apply(t.Context(), scope(), p, hands)
	require.Equal(t, actions.CodeTargetNotFound, actions.CodeOf(err))

	svc.gone, svc.err = false, errors.New("no engine")
	_, err = a.Apply(t.Context(), scope(), p, hands)
	require.Equal(t, actions.CodeUnreachable, actions.CodeOf(err))

	svc.err, svc.hang = nil, true
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = a.Apply(ctx, scope(), p, hands)
	require.Equal(t, actions.CodeUnreachable, actions.CodeOf(err))
	require.Zero(t, s.asked())
}
