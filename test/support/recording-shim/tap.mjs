#!/usr/bin/env node
// Between containerd and a shim, for the recording shim: `tap.mjs DIR ADDRESS` prints the address to be used instead. What
// containerd says of Create goes to DIR/create, the request as it is. Its options are Kata's, which runc's shim cannot
// read, and are left out of what is passed on. With CADRE_TAP_HANG a Create, and all that follows it, never arrives: of
// such a shim no call returns; a process stands for the hypervisor that it has started by then.
import { spawn } from 'node:child_process';
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
  const server = createServer((daemon) => {
    const shim = connect(address.replace('unix://', ''));
    let rest = Buffer.alloc(0);
    daemon.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= HEADER) {
        const end = HEADER + rest.readUInt32BE(0);
        if (rest.length < end) return;
        const frame = pass(rest.subarray(0, HEADER), rest.subarray(HEADER, end));
        rest = rest.subarray(end);
        if (frame !== undefined) shim.write(frame);
      }
    });
    shim.pipe(daemon);
    for (const [one, other] of [
      [daemon, shim],
      [shim, daemon],
    ]) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
    shim.on('close', () => process.exit());
  });
  server.listen(path, () => writeFileSync(ready, ''));

  function pass(header, body) {
    const fields = readFields(body);
    const method = fields.find(({ number }) => number === 2)?.bytes.toString();
    if (method === 'Create') {
      const request = fields.find(({ number }) => number === 3).bytes;
      writeFileSync(join(directory, 'create'), request);
      if (process.env.CADRE_TAP_HANG) {
        isStuck = true;
        startGuest();
      }
      const kept = readFields(request).filter(({ number }) => number !== 10);
      body = Buffer.concat(fields.map((field) => (field.number === 3 ? packBytes(3, kept) : field.whole)));
      header = Buffer.from(header);
      header.writeUInt32BE(body.length, 0);
    }
    if (isStuck) appendFileSync(join(directory, 'unanswered'), `${method}\n`);
    return isStuck ? undefined : Buffer.concat([header, body]);
  }
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
