#!/usr/bin/env node
// Between containerd and a shim, for the recording shim: `tap.mjs DIR ADDRESS` prints the address to be used instead. What
// containerd says of Create goes to DIR/create, the request as it is. Its options are Kata's, which runc's shim cannot
// read, and are left out of what is passed on. Programs for the output, which Kata's shim runs whatever the input is and
// runc's in the place of any input, are run here when there is an input, and an exit is told when they have ended. With
// CADRE_TAP_HANG a Create, and all that follows it, never arrives: of
// such a shim no call returns; a process stands for the hypervisor that it has started by then.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const HEADER = 10; // of ttrpc: length, stream, type, flags
const [directory, address, role] = process.argv.slice(2);
const path = join(directory, 'tap.sock');
// A socket is there a moment before it can be connected to.
const ready = join(directory, 'tap.ready');

if (role === undefined) {
  spawn(process.execPath, [process.argv[1], directory, address, 'serve'], { detached: true, stdio: 'ignore' }).unref();
  for (let i = 0; i < 500 && !existsSync(ready); i++) await sleep(10);
  process.stdout.write(`unix://${path}`);
} else {
  let isStuck = false;
  /** Of the programs for the output. */
  let copied = Promise.resolve();
  const waits = new Set();
  const open = () => connect(address.replace('unix://', ''));
  // Daemons come and go; without its shim there is nothing to do.
  open()
    .on('error', () => process.exit())
    .on('close', () => process.exit());
  const server = createServer((daemon) => {
    const shim = open();
    onFrame(daemon, (header, body) => {
      const frame = pass(header, body);
      if (frame !== undefined) shim.write(frame);
    });
    onFrame(shim, async (header, body) => {
      if (waits.delete(header.readUInt32BE(4))) await copied;
      daemon.write(Buffer.concat([header, body]));
    });
    for (const [one, other] of [
      [daemon, shim],
      [shim, daemon],
    ]) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  server.listen(path, () => writeFileSync(ready, ''));

  function pass(header, body) {
    const fields = readFields(body);
    const method = fields.find(({ number }) => number === 2)?.bytes.toString();
    // Of the session's own command, and not of an exec.
    const isWait = method === 'Wait' && !readFields(fields.find(({ number }) => number === 3).bytes)[1];
    if (isWait) waits.add(header.readUInt32BE(4));
    if (method === 'Create') {
      const request = fields.find(({ number }) => number === 3).bytes;
      writeFileSync(join(directory, 'create'), request);
      if (process.env.CADRE_TAP_HANG) {
        isStuck = true;
        startGuest();
      }
      const kept = connectOutput(readFields(request).filter(({ number }) => number !== 10));
      body = Buffer.concat(fields.map((field) => (field.number === 3 ? packBytes(3, kept) : field.whole)));
      header = Buffer.from(header);
      header.writeUInt32BE(body.length, 0);
    }
    if (isStuck) appendFileSync(join(directory, 'unanswered'), `${method}\n`);
    return isStuck ? undefined : Buffer.concat([header, body]);
  }

  /** Of a Create: 5 to 7 are the streams. A program gets pipes as 3 and 4, and says by closing 5 that it is there. */
  function connectOutput(fields) {
    const read = (number) => fields.find((field) => field.number === number)?.bytes.toString() ?? '';
    if (read(5) === '' || !read(6).startsWith('binary:')) return fields;
    const pipes = [6, 7].filter((number) => read(number) !== '').map((number) => join(directory, `output-${number}`));
    execFileSync('mkfifo', pipes);
    const { pathname, searchParams } = new URL(read(6));
    const args = [...searchParams].flat();
    const inputs = pipes.map((pipe, index) => `${index + 3}<'${pipe}'`);
    const script = `exec ${inputs.join(' ')} 5>/dev/null; exec "$@"`;
    const program = spawn('/bin/sh', ['-c', script, 'sh', pathname, ...args], { stdio: 'ignore' });
    copied = once(program, 'exit');
    return fields.map((field) => {
      const pipe = pipes.find((name) => name.endsWith(`-${field.number}`));
      return pipe === undefined ? field : { ...field, whole: packBytes(field.number, [{ whole: Buffer.from(pipe) }]) };
    });
  }
}

function onFrame(socket, handle) {
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= HEADER) {
      const end = HEADER + rest.readUInt32BE(0);
      if (rest.length < end) return;
      handle(rest.subarray(0, HEADER), rest.subarray(HEADER, end));
      rest = rest.subarray(end);
    }
  });
}

/** As Kata starts it: a daemon of its own, with the sandbox's id in its arguments. */
function startGuest() {
  const args = [
    '-e',
    'setInterval(() => undefined, 1e6)',
    '--',
    '-name',
    `sandbox-${basename(directory)},debug-threads=on`,
  ];
  const options = { argv0: '/opt/kata/bin/qemu-system-x86_64', detached: true, stdio: 'ignore' };
  const { pid } = spawn(process.execPath, args, options);
  writeFileSync(join(directory, 'guest'), String(pid));
}

function readFields(bytes) {
  const fields = [];
  for (let at = 0; at < bytes.length; ) {
    const start = at;
    const readVarint = () => {
      let value = 0n;
      for (let shift = 0n; ; shift += 7n) {
        const byte = bytes[at++];
        value |= BigInt(byte & 0x7f) << shift;
        if (byte < 0x80) return Number(value);
      }
    };
    const key = readVarint();
    let content = Buffer.alloc(0);
    if (key % 8 === 2) {
      const length = readVarint();
      content = bytes.subarray(at, at + length);
      at += length;
    } else if (key % 8 === 0) readVarint();
    else throw new Error(`a field of wire type ${key % 8}`);
    fields.push({ number: key >> 3, bytes: content, whole: bytes.subarray(start, at) });
  }
  return fields;
}

function packBytes(number, fields) {
  const content = Buffer.concat(fields.map(({ whole }) => whole));
  const length = [];
  for (let left = content.length; ; left >>= 7) {
    length.push(left > 0x7f ? (left & 0x7f) | 0x80 : left);
    if (left <= 0x7f) break;
  }
  return Buffer.concat([Buffer.from([number * 8 + 2, ...length]), content]);
}
