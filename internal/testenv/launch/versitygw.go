package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// The keys of the S3 endpoint that VersityGW serves. They guard nothing: it
// listens on 127.0.0.1 and its data are thrown away.
const (
	S3AccessKey = "sluice-test-key"
	S3SecretKey = "sluice-test-secret"
)

const healthPath = "/sluice-health"

// VersityGW starts an S3 endpoint with its objects in dir.
func VersityGW(ctx context.Context, bin, dir string) (*Server, error) {
	root, sidecar := filepath.Join(dir, "buckets"), filepath.Join(dir, "metadata")
	for _, d := range []string{root, sidecar} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("make a directory for S3: %w", err)
		}
	}
	backend := []string{"posix"}
	if !hasXattr(root) {
		// Object metadata are extended attributes where the file system has
		// them (a tmpfs of an older kernel has none), else files beside.
		backend = append(backend, "--sidecar", sidecar)
	}
	backend = append(backend, root)
	command := func(port int) Command {
		front := []string{"--port", "127.0.0.1:" + strconv.Itoa(port), "--health", healthPath, "--quiet"}
		return Command{
			Path: bin, Args: append(front, backend...), Dir: dir,
			Env: environment("ROOT_ACCESS_KEY="+S3AccessKey, "ROOT_SECRET_KEY="+S3SecretKey),
		}
	}
	ready := func(ctx context.Context, s *Server) error {
		return answers(ctx, "http://"+s.Addr+healthPath)
	}
	return startServer(ctx, command, ready)
}

// S3URL returns the address of a server started by VersityGW, with its keys.
func S3URL(s *Server) string {
	return fmt.Sprintf("http://%s:%s@%s", S3AccessKey, S3SecretKey, s.Addr)
}

func hasXattr(dir string) bool {
	_, err := syscall.Getxattr(dir, "user.sluice", nil)
	return err == nil || !errors.Is(err, syscall.ENOTSUP)
}
