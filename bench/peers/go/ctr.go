package main

import (
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// ctr is containerd's own command line, one process for each step. It builds its spec from flags: capabilities,
// masked paths and no_new_privs are its defaults, seccomp and the limits are asked for.
type ctr struct {
	settings Settings
	template Template
}

func openCtr(settings Settings) (Driver, error) {
	template, err := readTemplate(settings.Template)
	return &ctr{settings, template}, err
}

type ctrSession struct {
	*ctr
	id    string
	execs int64
}

func (c *ctr) Create(id string) (Session, error) {
	spec, err := c.template.parse(id)
	if err != nil {
		return nil, err
	}
	args := []string{"run", "--detach", "--null-io", "--seccomp"}
	resources := spec.Linux.Resources
	if resources != nil && resources.Memory != nil && resources.Memory.Limit != nil {
		args = append(args, "--memory-limit", strconv.FormatInt(*resources.Memory.Limit, 10))
	}
	if resources != nil && resources.CPU != nil && resources.CPU.Quota != nil && resources.CPU.Period != nil {
		args = append(args, "--cpu-quota", strconv.FormatInt(*resources.CPU.Quota, 10),
			"--cpu-period", strconv.FormatUint(*resources.CPU.Period, 10))
	}
	args = append(args, c.settings.Image, id, "sleep", "2147483647")
	return &ctrSession{ctr: c, id: id}, c.run(args, nil, nil, nil)
}

func (s *ctrSession) Exec(args []string, stdin io.Reader, stdout, stderr io.Writer) (func() error, error) {
	id := fmt.Sprintf("exec-%d", atomic.AddInt64(&s.execs, 1))
	whole := append([]string{"task", "exec", "--exec-id", id, "--fifo-dir", s.settings.Scratch, s.id}, args...)
	return func() error { return nil }, s.run(whole, stdin, stdout, stderr)
}

func (s *ctrSession) Destroy() error {
	if err := s.run([]string{"task", "rm", "--force", s.id}, nil, nil, nil); err != nil {
		return err
	}
	return s.run([]string{"container", "rm", s.id}, nil, nil, nil)
}

// Both ends of a stream: ctr and the process that reads from it or writes to it.
func (s *ctrSession) ClientCPU() time.Duration {
	return readCPU(syscall.RUSAGE_CHILDREN) + readCPU(syscall.RUSAGE_SELF)
}

func (c *ctr) run(args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	whole := append([]string{"--address", c.settings.Address, "--namespace", c.settings.Namespace}, args...)
	return runTool(exec.Command("ctr", whole...), stdin, stdout, stderr)
}
