package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Driver makes sessions with one tool.
type Driver interface {
	Create(id string) (Session, error)
}

// Session is one live sandbox.
type Session interface {
	// Exec returns when the exit code and all output are in hand; release then frees what the exec still holds.
	Exec(args []string, stdin io.Reader, stdout, stderr io.Writer) (release func() error, err error)
	Destroy() error
	// ClientCPU is the time that the client's processes have used so far.
	ClientCPU() time.Duration
}

// Peer is one driver with the sessions it keeps alive.
type Peer struct {
	driver Driver
	live   Session
	held   []Session
	mutex  sync.Mutex
	made   int
}

func (p *Peer) create() (Session, error) {
	p.mutex.Lock()
	p.made++
	id := fmt.Sprintf("bench-%d-%d", os.Getpid(), p.made)
	p.mutex.Unlock()
	return p.driver.Create(id)
}

func (p *Peer) open() (err error) {
	p.live, err = p.create()
	return err
}

func (p *Peer) close() error {
	session := p.live
	p.live = nil
	return session.Destroy()
}

func (p *Peer) closeAll() {
	if p.live != nil {
		p.live.Destroy()
	}
	p.hold(0)
}

type coldTimes struct {
	Create  float64 `json:"create"`
	Exec    float64 `json:"exec"`
	Destroy float64 `json:"destroy"`
	Total   float64 `json:"total"`
}

func (p *Peer) measureCold() (*coldTimes, error) {
	start := time.Now()
	session, err := p.create()
	if err != nil {
		return nil, err
	}
	created := time.Now()
	release, err := runTrue(session)
	if err != nil {
		session.Destroy()
		return nil, err
	}
	done := time.Now()
	if err := release(); err != nil {
		return nil, err
	}
	if err := session.Destroy(); err != nil {
		return nil, err
	}
	end := time.Now()
	return &coldTimes{toMs(created.Sub(start)), toMs(done.Sub(created)), toMs(end.Sub(done)), toMs(end.Sub(start))}, nil
}

type warmTimes struct {
	// Ms is until the result is in hand, Period until the next exec can begin.
	Ms     []float64 `json:"ms"`
	Period []float64 `json:"period"`
}

// measureWarm runs `count` execs back to back.
func (p *Peer) measureWarm(count int) (*warmTimes, error) {
	times := &warmTimes{}
	for ; count > 0; count-- {
		start := time.Now()
		release, err := runTrue(p.live)
		if err != nil {
			return nil, err
		}
		times.Ms = append(times.Ms, toMs(time.Since(start)))
		if err := release(); err != nil {
			return nil, err
		}
		times.Period = append(times.Period, toMs(time.Since(start)))
	}
	return times, nil
}

type execRate struct {
	Count int     `json:"count"`
	Ms    float64 `json:"ms"`
}

// measureExecs runs execs in one session, `width` at a time, and begins none after `limit`.
func (p *Peer) measureExecs(width int, limit time.Duration) (*execRate, error) {
	start := time.Now()
	counts, failures := make(chan int, width), make(chan error, width)
	for worker := 0; worker < width; worker++ {
		go func() {
			count := 0
			var err error
			for ; err == nil && time.Since(start) < limit; count++ {
				var release func() error
				if release, err = runTrue(p.live); err == nil {
					err = release()
				}
			}
			counts <- count
			failures <- err
		}()
	}
	rate := &execRate{}
	var first error
	for worker := 0; worker < width; worker++ {
		rate.Count += <-counts
		if err := <-failures; err != nil {
			first = err
		}
	}
	rate.Ms = toMs(time.Since(start))
	return rate, first
}

type streamTimes struct {
	Ms    float64 `json:"ms"`
	CPUMs float64 `json:"cpuMs"`
}

func (p *Peer) measureStreamOut(size int64) (*streamTimes, error) {
	var seen counter
	times, err := p.timeStream(
		[]string{"dd", "if=/dev/zero", "bs=64k", fmt.Sprintf("count=%d", size/65536)}, nil, &seen, io.Discard)
	if err == nil && int64(seen) != size {
		return nil, fmt.Errorf("%d of %d bytes came out", seen, size)
	}
	return times, err
}

func (p *Peer) measureStreamIn(size int64) (*streamTimes, error) {
	var report bytes.Buffer
	source := io.LimitReader(repeated{}, size)
	times, err := p.timeStream([]string{"dd", "of=/dev/null", "bs=64k", "iflag=fullblock"}, source, io.Discard, &report)
	if err != nil {
		return nil, err
	}
	// Blocks that are whole, plus one that is not: every byte is counted.
	if !strings.HasPrefix(report.String(), fmt.Sprintf("%d+0 records in", size/65536)) {
		return nil, fmt.Errorf("not %d bytes went in: %s", size, strings.TrimSpace(report.String()))
	}
	return times, nil
}

func (p *Peer) timeStream(args []string, stdin io.Reader, stdout, stderr io.Writer) (*streamTimes, error) {
	cpu, start := p.live.ClientCPU(), time.Now()
	release, err := p.live.Exec(args, stdin, stdout, stderr)
	if err != nil {
		return nil, err
	}
	times := &streamTimes{toMs(time.Since(start)), toMs(p.live.ClientCPU() - cpu)}
	return times, release()
}

// measureRate runs `count` whole sessions, `width` at a time.
func (p *Peer) measureRate(width, count int) (map[string]float64, error) {
	work := make(chan bool, count)
	for index := 0; index < count; index++ {
		work <- true
	}
	close(work)
	start := time.Now()
	failures := make(chan error, width)
	for worker := 0; worker < width; worker++ {
		go func() {
			for range work {
				if _, err := p.measureCold(); err != nil {
					failures <- err
					return
				}
			}
			failures <- nil
		}()
	}
	var first error
	for worker := 0; worker < width; worker++ {
		if err := <-failures; err != nil {
			first = err
		}
	}
	return map[string]float64{"ms": toMs(time.Since(start))}, first
}

func runTrue(session Session) (func() error, error) {
	var stdout, stderr bytes.Buffer
	release, err := session.Exec([]string{"true"}, nil, &stdout, &stderr)
	if err == nil && stdout.Len()+stderr.Len() > 0 {
		return release, fmt.Errorf("true printed %q %q", stdout.String(), stderr.String())
	}
	return release, err
}

// readCPU adds up the processor time of this process (RUSAGE_SELF) or of its ended children (RUSAGE_CHILDREN).
func readCPU(who int) time.Duration {
	var usage syscall.Rusage
	syscall.Getrusage(who, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func toMs(duration time.Duration) float64 {
	return float64(duration.Microseconds()) / 1000
}

type counter int64

func (c *counter) Write(data []byte) (int, error) {
	*c += counter(len(data))
	return len(data), nil
}

// repeated is an endless source that costs next to nothing.
type repeated struct{}

func (repeated) Read(data []byte) (int, error) { return len(data), nil }
