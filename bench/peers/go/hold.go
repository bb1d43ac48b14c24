package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
)

// Two cores: more at once only queue.
const holdWidth = 4

type holdState struct {
	Alive int   `json:"alive"`
	Rss   int64 `json:"rss"`
	Fds   int   `json:"fds"`
}

// hold brings the number of live sessions to `count` and tells what this process costs then.
func (p *Peer) hold(count int) (*holdState, error) {
	if err := p.resize(count); err != nil {
		return nil, err
	}
	debug.FreeOSMemory()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	// Without the one that reads the directory.
	return &holdState{len(p.held), readRss(), len(fds) - 1}, nil
}

func (p *Peer) resize(count int) error {
	if count < len(p.held) {
		ending := p.held[count:]
		p.held = p.held[:count]
		return runAll(len(ending), func(index int) error { return ending[index].Destroy() })
	}
	return runAll(count-len(p.held), func(int) error {
		session, err := p.create()
		if err != nil {
			return err
		}
		p.mutex.Lock()
		defer p.mutex.Unlock()
		p.held = append(p.held, session)
		return nil
	})
}

func runAll(count int, run func(index int) error) error {
	var group sync.WaitGroup
	var mutex sync.Mutex
	var first error
	next := 0
	for worker := 0; worker < holdWidth; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				mutex.Lock()
				index := next
				next++
				mutex.Unlock()
				if index >= count {
					return
				}
				if err := run(index); err != nil {
					mutex.Lock()
					first = err
					mutex.Unlock()
				}
			}
		}()
	}
	group.Wait()
	return first
}

func readRss() int64 {
	text, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
