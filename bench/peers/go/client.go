package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/containerd"
	"github.com/containerd/containerd/cio"
	"github.com/containerd/containerd/namespaces"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// goClient is containerd's own client library, one connection, used as its documentation shows.
type goClient struct {
	ctx      context.Context
	client   *containerd.Client
	image    containerd.Image
	template Template
	fifos    string
}

func openClient(settings Settings) (Driver, error) {
	template, err := readTemplate(settings.Template)
	if err != nil {
		return nil, err
	}
	client, err := containerd.New(settings.Address)
	if err != nil {
		return nil, err
	}
	ctx := namespaces.WithNamespace(context.Background(), settings.Namespace)
	image, err := client.GetImage(ctx, settings.Image)
	if err != nil {
		return nil, err
	}
	return &goClient{ctx, client, image, template, settings.Scratch}, nil
}

type goSession struct {
	*goClient
	container containerd.Container
	task      containerd.Task
	exited    <-chan containerd.ExitStatus
	process   *specs.Process
	execs     int64
}

func (c *goClient) Create(id string) (Session, error) {
	ctx, release, err := c.client.WithLease(c.ctx)
	if err != nil {
		return nil, err
	}
	spec, err := c.template.parse(id)
	if err != nil {
		return nil, err
	}
	container, err := c.client.NewContainer(ctx, id,
		containerd.WithSnapshotter("overlayfs"),
		containerd.WithImage(c.image),
		containerd.WithNewSnapshot(id, c.image),
		containerd.WithSpec(spec))
	if err != nil {
		return nil, fmt.Errorf("container: %w", err)
	}
	task, err := container.NewTask(ctx, cio.NullIO)
	if err != nil {
		return nil, fmt.Errorf("task: %w", err)
	}
	exited, err := task.Wait(c.ctx)
	if err != nil {
		return nil, err
	}
	if err := task.Start(ctx); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	session := &goSession{goClient: c, container: container, task: task, exited: exited, process: spec.Process}
	return session, release(c.ctx)
}

func (s *goSession) Exec(args []string, stdin io.Reader, stdout, stderr io.Writer) (func() error, error) {
	process := *s.process
	process.Args = args
	id := fmt.Sprintf("exec-%d", atomic.AddInt64(&s.execs, 1))
	// CloseIO must follow the last byte of input: the shim holds a writer of its own.
	closing := &closingReader{Reader: stdin, ended: make(chan struct{})}
	if stdin != nil {
		stdin = closing
	}
	streams := cio.NewCreator(cio.WithStreams(stdin, stdout, stderr), cio.WithFIFODir(s.fifos))
	running, err := s.task.Exec(s.ctx, id, &process, streams)
	if err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	exited, err := running.Wait(s.ctx)
	if err != nil {
		return nil, err
	}
	if err := running.Start(s.ctx); err != nil {
		return nil, fmt.Errorf("exec start: %w", err)
	}
	if stdin != nil {
		<-closing.ended
		if err := running.CloseIO(s.ctx, containerd.WithStdinCloser); err != nil {
			return nil, err
		}
	}
	status := <-exited
	running.IO().Wait()
	if code, _, err := status.Result(); err != nil || code != 0 {
		return nil, fmt.Errorf("exit code %d: %w", code, err)
	}
	return func() error {
		_, err := running.Delete(s.ctx)
		return err
	}, nil
}

func (s *goSession) Destroy() error {
	if err := s.task.Kill(s.ctx, syscall.SIGKILL, containerd.WithKillAll); err != nil {
		return err
	}
	<-s.exited
	if _, err := s.task.Delete(s.ctx); err != nil {
		return err
	}
	return s.container.Delete(s.ctx, containerd.WithSnapshotCleanup)
}

func (s *goSession) ClientCPU() time.Duration { return readCPU(syscall.RUSAGE_SELF) }

type closingReader struct {
	io.Reader
	ended chan struct{}
}

func (r *closingReader) Read(data []byte) (int, error) {
	count, err := r.Reader.Read(data)
	if err != nil {
		close(r.ended)
	}
	return count, err
}
