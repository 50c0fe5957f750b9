// Package counter counts events per name, for many goroutines at once.
package counter

import (
	"sort"
	"sync"
)

// Counter counts events; its zero value is ready to use.
type Counter struct {
	mu     sync.Mutex
	counts map[string]int
}

// Add counts n more events of a name.
func (c *Counter) Add(name string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = make(map[string]int)
	}
	c.counts[name] += n
}

// Names returns the names seen so far, in order.
func (c *Counter) Names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, 0, len(c.counts))
	for name := range c.counts {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
