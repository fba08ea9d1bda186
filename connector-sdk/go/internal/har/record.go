package har

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"

	"github.com/superfasttt/connectors/connector-sdk/go/internal/secrets"
)

const (
	head = `{"log":{"version":"1.2","creator":{"name":"superfasttt-connector-go","version":"` + "%s" + `"},"entries":[` + "\n"
	tail = "\n]}}\n"
)

// Recorder writes exchanges to a file, which is whole after each of them.
type Recorder struct {
	mutex sync.Mutex
	file  *os.File
	// Where the next entry goes: the file's tail is written over.
	end     int64
	entries int
}

// NewRecorder begins a file anew. Only its owner may read it: what was read from the source stands in it.
func NewRecorder(path, version string) (*Recorder, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot record: %w", err)
	}
	begin := fmt.Sprintf(head, version)
	if _, err := file.WriteString(begin + tail); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("cannot record: %w", err)
	}
	return &Recorder{file: file, end: int64(len(begin))}, nil
}

// Record writes an exchange without its secrets.
func (r *Recorder) Record(exchange Exchange, call *secrets.Set) error {
	line, err := json.Marshal(newEntry(exchange, call))
	if err != nil {
		return fmt.Errorf("cannot record: %w", err)
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.entries > 0 {
		line = append([]byte(",\n"), line...)
	}
	if _, err := r.file.WriteAt(append(line, tail...), r.end); err != nil {
		return fmt.Errorf("cannot record: %w", err)
	}
	r.end += int64(len(line))
	r.entries++
	return nil
}
