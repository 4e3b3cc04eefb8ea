package launch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"sluice/internal/testenv/opensearch"
)

// openSearchHeap is enough for tests, and little enough to run beside the
// other servers on a small machine.
const openSearchHeap = "1g"

// OpenSearch starts a single OpenSearch node with its data in dir, from the
// jars in the directory jars.
func OpenSearch(ctx context.Context, java, jars, dir string) (*Server, error) {
	source := filepath.Join(dir, opensearch.LauncherFile)
	if err := os.WriteFile(source, opensearch.Launcher, 0o600); err != nil {
		return nil, fmt.Errorf("write the OpenSearch launcher: %w", err)
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return nil, fmt.Errorf("make OpenSearch's temporary directory: %w", err)
	}
	command := func(port int) Command {
		return Command{Path: java, Dir: dir, Args: []string{
			"-Xms" + openSearchHeap, "-Xmx" + openSearchHeap, "-XX:+UseSerialGC",
			"-Djava.io.tmpdir=" + tmp,
			"-cp", filepath.Join(jars, "*"), source, dir, strconv.Itoa(port),
		}}
	}
	ready := func(ctx context.Context, s *Server) error {
		return answers(ctx, "http://"+s.Addr+"/_cluster/health?wait_for_status=yellow&timeout=1s")
	}
	return startServer(ctx, command, ready)
}
