package orders

// One broker for the package's tests, a fresh cluster for each test. Copy this file; it needs the standard library only.
//
// The broker is started with the command kwire (or what the variable KWIRE says), or is one that runs already, when
// KWIRE_URL says where: http://127.0.0.1:9380.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Cluster is a cluster of one test.
type Cluster struct {
	Name             string `json:"name"`
	BootstrapServers string `json:"bootstrap_servers"`
	url              string
}

// Brokers are the addresses for a Kafka client.
func (c *Cluster) Brokers() []string {
	return strings.Split(c.BootstrapServers, ",")
}

// broker starts the broker with the first call. It stops when this process ends, in whatever way: its standard input
// ends then.
var broker = sync.OnceValues(func() (string, error) {
	if url := os.Getenv("KWIRE_URL"); url != "" {
		return url, nil
	}
	directory, err := os.MkdirTemp("", "kwire-go-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(directory)
	ready := filepath.Join(directory, "ready")
	command := strings.Fields(os.Getenv("KWIRE"))
	if len(command) == 0 {
		command = []string{"kwire"}
	}
	command = append(command, "serve", "--ephemeral", "--stop-with-stdin", "--port", "0", "--http", "0", "--ready-file", ready)
	process := exec.Command(command[0], command[1:]...)
	process.Stderr = os.Stderr
	if _, err := process.StdinPipe(); err != nil {
		return "", err
	}
	if err := process.Start(); err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	for {
		if text, err := os.ReadFile(ready); err == nil {
			return strings.Split(string(text), "\n")[1], nil
		}
		select {
		case err := <-ended:
			return "", fmt.Errorf("kwire ended before it was ready: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
})

// NewCluster makes a cluster that is deleted when the test ends. spec is the body of POST /v1/clusters.
func NewCluster(t *testing.T, spec map[string]any) *Cluster {
	t.Helper()
	url, err := broker()
	if err != nil {
		t.Fatalf("kwire cannot be started: %v", err)
	}
	cluster := &Cluster{}
	exchange(t, "POST", url+"/v1/clusters", spec, cluster)
	cluster.url = url + "/v1/clusters/" + cluster.Name
	t.Cleanup(func() { cluster.Request(t, "DELETE", "", nil, nil) })
	return cluster
}

// Request sends a request below /v1/clusters/NAME and decodes the answer. body and answer may be nil.
func (c *Cluster) Request(t *testing.T, method, path string, body, answer any) {
	t.Helper()
	exchange(t, method, c.url+path, body, answer)
}

func exchange(t *testing.T, method, url string, body, answer any) {
	t.Helper()
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		content = bytes.NewReader(encoded)
	}
	request, err := http.NewRequest(method, url, content)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s", method, url, response.Status, text)
	}
	if answer != nil {
		if err := json.Unmarshal(text, answer); err != nil {
			t.Fatalf("%s %s: %v in %s", method, url, err, text)
		}
	}
}
