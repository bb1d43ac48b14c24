// docker's Engine API with the same image, limits, capabilities and seccomp profile, taken from the shared spec.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { DockerApi } from './docker-api.mjs';
import { serve } from './serve.mjs';

const { socket, image, archive, template } = JSON.parse(process.argv[2] ?? '{}');
const docker = new DockerApi(socket);
const spec = JSON.parse(readFileSync(template, 'utf8'));

await docker.call('POST', '/images/load?quiet=1', readFileSync(archive));
await serve({
  async create() {
    const { Id: id } = await docker.call('POST', '/containers/create', describeContainer());
    await docker.call('POST', `/containers/${id}/start`);
    return {
      id,
      exec: (args, streams) => runCommand(id, args, streams),
      destroy: () => docker.call('DELETE', `/containers/${id}?force=1&v=1`),
    };
  },
});
process.exit();

function describeContainer() {
  const { memory, cpu, pids } = spec.linux.resources ?? {};
  const { seccomp } = spec.linux;
  const confinement = seccomp ? [`seccomp=${JSON.stringify(seccomp)}`] : [];
  return {
    Image: image,
    Entrypoint: ['sleep'],
    Cmd: ['2147483647'],
    Env: spec.process.env,
    WorkingDir: spec.process.cwd,
    NetworkDisabled: true,
    HostConfig: {
      // docker's own init, as ours has one.
      Init: true,
      NetworkMode: 'none',
      ReadonlyRootfs: spec.root.readonly ?? false,
      CapDrop: ['ALL'],
      CapAdd: spec.process.capabilities?.bounding ?? [],
      SecurityOpt: [...(spec.process.noNewPrivileges ? ['no-new-privileges'] : []), ...confinement],
      MaskedPaths: spec.linux.maskedPaths,
      ReadonlyPaths: spec.linux.readonlyPaths,
      Memory: memory?.limit ?? 0,
      MemorySwap: memory?.swap ?? 0,
      CpuQuota: cpu?.quota ?? 0,
      CpuPeriod: cpu?.period ?? 0,
      PidsLimit: pids?.limit ?? 0,
    },
  };
}

async function runCommand(id, args, { input, onStdout } = {}) {
  const { Id: execId } = await docker.call('POST', `/containers/${id}/exec`, {
    Cmd: args,
    AttachStdin: Boolean(input),
    AttachStdout: true,
    AttachStderr: true,
  });
  const { socket, head } = await docker.hijack(`/exec/${execId}/start`, { Detach: false, Tty: false });
  const kept = { stdout: '', stderr: '' };
  const split = createSplitter((source, data) => {
    if (source === 'stdout' && onStdout) onStdout(data.length);
    else kept[source] += data.toString();
  });
  socket.on('data', split);
  if (head.length > 0) split(head);
  const ended = once(socket, 'close');
  if (input) {
    for await (const chunk of input) if (!socket.write(chunk)) await once(socket, 'drain');
    socket.end();
  }
  await ended;
  const { ExitCode: exitCode } = await docker.call('GET', `/exec/${execId}/json`);
  return { exitCode, ...kept };
}

/** Takes docker's frames apart: one byte of stream, three of padding, four of length, the data. */
function createSplitter(deliver) {
  let header = Buffer.alloc(0);
  let source = 'stdout';
  let left = 0;
  return (chunk) => {
    for (let at = 0; at < chunk.length; ) {
      if (left === 0) {
        const missing = chunk.subarray(at, at + 8 - header.length);
        header = Buffer.concat([header, missing]);
        at += missing.length;
        if (header.length < 8) return;
        source = header[0] === 2 ? 'stderr' : 'stdout';
        left = header.readUInt32BE(4);
        header = Buffer.alloc(0);
        continue;
      }
      const data = chunk.subarray(at, at + left);
      deliver(source, data);
      at += data.length;
      left -= data.length;
    }
  };
}
