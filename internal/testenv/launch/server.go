package launch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// startTimeout is long because a cold disk and busy cores are the rule
	// on build machines; a server that fails ends by itself much earlier.
	startTimeout = 5 * time.Minute
	// stopGrace is what a server gets to flush before it is killed. The data
	// are thrown away in any case.
	stopGrace = 5 * time.Second
	// startAttempts covers a port that somebody else took in between.
	startAttempts = 3
	// logLimit is what is kept of a server's output.
	logLimit = 1 << 20
)

// Server is one server process that can be ended and started again on the same
// port and data. Its methods may be called by several goroutines.
type Server struct {
	Addr string // host:port
	Log  *Log

	command func(port int) Command
	ready   func(ctx context.Context, s *Server) error
	port    int

	mu   sync.Mutex
	proc *Process
}

// startServer starts a server on a free port and waits until ready says yes.
func startServer(ctx context.Context, command func(port int) Command,
	ready func(context.Context, *Server) error,
) (*Server, error) {
	var errs error
	for range startAttempts {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		s := &Server{
			Addr: fmt.Sprintf("127.0.0.1:%d", port), Log: &Log{Limit: logLimit},
			command: command, ready: ready, port: port,
		}
		if err = s.Start(ctx); err == nil {
			return s, nil
		}
		errs = errors.Join(errs, err)
		if ctx.Err() != nil || !s.Log.Contains("in use") {
			break
		}
	}
	return nil, errs
}

// Start starts the server again after Stop or Kill, on the same port and data,
// and waits until it answers. A server that runs is left alone.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s.Log.Reset()
	c := s.command(s.port)
	c.Stdout, c.Stderr = s.Log, s.Log
	proc, err := Start(c)
	if err != nil {
		return err
	}
	s.proc = proc
	err = await(ctx, proc, s.Log, func(ctx context.Context) error { return s.ready(ctx, s) })
	if err != nil {
		return errors.Join(err, proc.Kill())
	}
	return nil
}

func (s *Server) running() bool {
	if s.proc == nil {
		return false
	}
	select {
	case <-s.proc.Done():
		return false
	default:
		return true
	}
}

// Process returns the process of the last start.
func (s *Server) Process() *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// Stop ends the server in good order and waits until it is gone.
func (s *Server) Stop() error { return s.Process().Stop(stopGrace) }

// Kill ends the server with SIGKILL and waits until it is gone.
func (s *Server) Kill() error { return s.Process().Kill() }

// Pause freezes the server: its connections stay open and silent.
func (s *Server) Pause() error { return s.Process().Pause() }

// Continue lets a paused server run on.
func (s *Server) Continue() error { return s.Process().Continue() }
