package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// runc alone is the floor under everybody who runs it: no daemon, no snapshot, one root file system for all.
type runc struct {
	settings Settings
	template Template
}

func openRunc(settings Settings) (Driver, error) {
	// The init of a detached container becomes our child then, so that its end is seen at once and not polled for.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	template, err := readTemplate(settings.Template)
	return &runc{settings, template}, err
}

type runcSession struct {
	*runc
	id     string
	bundle string
	init   int
}

func (r *runc) Create(id string) (Session, error) {
	spec, err := r.template.parse(id)
	if err != nil {
		return nil, err
	}
	spec.Root = &specs.Root{Path: r.settings.Rootfs, Readonly: spec.Root.Readonly}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	session := &runcSession{runc: r, id: id, bundle: filepath.Join(r.settings.Scratch, id)}
	if err := os.Mkdir(session.bundle, 0700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(session.bundle, "config.json"), text, 0600); err != nil {
		return nil, err
	}
	pidFile := filepath.Join(session.bundle, "pid")
	// No streams: what the init inherits would keep them open.
	command := r.command("run", "--detach", "--bundle", session.bundle, "--pid-file", pidFile, id)
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("runc run: %w", err)
	}
	pid, err := os.ReadFile(pidFile)
	if err != nil {
		return nil, err
	}
	session.init, err = strconv.Atoi(strings.TrimSpace(string(pid)))
	return session, err
}

func (s *runcSession) Exec(args []string, stdin io.Reader, stdout, stderr io.Writer) (func() error, error) {
	command := s.command(append([]string{"exec", s.id}, args...)...)
	return func() error { return nil }, runTool(command, stdin, stdout, stderr)
}

func (s *runcSession) Destroy() error {
	if err := s.command("kill", "--all", s.id, "KILL").Run(); err != nil {
		return fmt.Errorf("runc kill: %w", err)
	}
	if _, err := syscall.Wait4(s.init, nil, 0, nil); err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	if err := s.command("delete", s.id).Run(); err != nil {
		return fmt.Errorf("runc delete: %w", err)
	}
	return os.RemoveAll(s.bundle)
}

// The process inside is a descendant of ours too and no part of the client: our own time only.
func (s *runcSession) ClientCPU() time.Duration { return readCPU(syscall.RUSAGE_SELF) }

func (r *runc) command(args ...string) *exec.Cmd {
	return exec.Command("runc", append([]string{"--root", filepath.Join(r.settings.Scratch, "state")}, args...)...)
}

// runTool runs a command line and puts what it complained about into the error.
func runTool(command *exec.Cmd, stdin io.Reader, stdout, stderr io.Writer) error {
	var complaints bytes.Buffer
	command.Stdin = stdin
	command.Stdout = stdout
	command.Stderr = stderr
	if stderr == nil {
		command.Stderr = &complaints
	}
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, complaints.String())
	}
	return nil
}
