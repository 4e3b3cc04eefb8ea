package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Server serves a console on one listener.
type Server struct {
	Handler  http.Handler
	Log      *slog.Logger
	Shutdown time.Duration // how long answers in flight may take at the end; 0: 5 seconds
}

// stopping is the key of a channel in the context of every request that is closed when the server is to end.
type stopping struct{}

// stopped gives that channel; it is nil, and so never ready, without a Server.
func stopped(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(stopping{}).(<-chan struct{})
	return c
}

// Serve answers until ctx is done, then ends open streams, lets other answers finish for a while, and returns nil once
// nothing of it runs any more. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	requests := context.WithValue(context.WithoutCancel(ctx), stopping{}, ctx.Done())
	srv := &http.Server{
		Handler:           s.Handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      60 * time.Second, // streams move their deadline with each event
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	if s.Log != nil {
		srv.ErrorLog = slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug)
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("serve the console on %s: %w", l.Addr(), err), srv.Close())
	case <-ctx.Done():
	}
	wait := s.Shutdown
	if wait <= 0 {
		wait = 5 * time.Second
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	defer cancel()
	err := srv.Shutdown(last)
	if err != nil {
		err = errors.Join(fmt.Errorf("end the console: %w", err), srv.Close())
	}
	<-failed
	return err
}
