import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findSocket } from '../../src/config/socket.js';

describe('address auto', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'sockets-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  function put(path: string) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), '');
  }

  test.each([
    'run/containerd/containerd.sock',
    'run/k3s/containerd/containerd.sock',
    'var/snap/microk8s/common/run/containerd.sock',
    'run/k0s/containerd.sock',
  ])('finds %s', (path) => {
    put(path);
    expect(findSocket(root)).toBe(join(root, path));
  });

  test('none, or more than one, is not for chance to decide', () => {
    expect(() => findSocket(root)).toThrow(/no containerd was found at \/run\/containerd\/containerd.sock, /);
    put('run/containerd/containerd.sock');
    put('run/k3s/containerd/containerd.sock');
    expect(() => findSocket(root)).toThrow(/there are several: .*k3s.*; name the socket by its path/);
  });
});
