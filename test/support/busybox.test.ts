import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { AGENT, BUSYBOX_REFERENCE, buildDockerArchive, buildOciLayout } from './busybox.js';
import { packTar } from './tar.js';

/** Read by the host's tar, not by what wrote it. */
const list = (archive: Buffer) =>
  execFileSync('tar', ['-tv', '--numeric-owner'], { input: archive, encoding: 'utf8', maxBuffer: 1 << 24 });
const extract = (archive: Buffer, path: string) =>
  execFileSync('tar', ['-xO', path], { input: archive, maxBuffer: 1 << 26 });
const digest = (data: Buffer) => createHash('sha256').update(data).digest('hex');

describe('docker archive', () => {
  const archive = buildDockerArchive({ config: { User: 'agent' } });
  const [entry] = JSON.parse(extract(archive, 'manifest.json').toString());
  const config = JSON.parse(extract(archive, entry.Config).toString());
  const layer = extract(archive, entry.Layers[0]);

  test('names its reference, config and layer', () => {
    expect(entry.RepoTags).toEqual([BUSYBOX_REFERENCE]);
    expect(config.config).toMatchObject({ User: 'agent', Cmd: ['sh'] });
    expect(config.rootfs.diff_ids).toEqual([`sha256:${digest(layer)}`]);
  });

  test('has a root filesystem with the modes and owners of a real one', () => {
    const listing = list(layer);
    expect(listing).toMatch(/^drwxrwxrwt 0\/0 .* tmp\/$/m);
    expect(listing).toMatch(/^drwx------ 0\/0 .* root\/$/m);
    expect(listing).toMatch(new RegExp(`^drwxr-x--- ${AGENT.uid}/${AGENT.gid} .* home/agent/$`, 'm'));
    expect(listing).toMatch(/^lrwxrwxrwx 0\/0 .* bin\/sh -> \/bin\/busybox$/m);
    expect(extract(layer, 'etc/group').toString()).toContain('tools:x:2000:agent');
  });

  test('is the same each time', () => {
    expect(digest(buildDockerArchive({ config: { User: 'agent' } }))).toBe(digest(archive));
  });
});

describe('OCI layout', () => {
  test('every blob is what its name says, and the chain holds', () => {
    const archive = buildOciLayout({ layers: 2, files: [{ path: 'etc/extra', data: 'x' }] });
    const read = (sum: string) => extract(archive, `blobs/sha256/${sum.replace('sha256:', '')}`);
    const index = JSON.parse(extract(archive, 'index.json').toString());
    const manifest = JSON.parse(read(index.manifests[0].digest).toString());
    const config = JSON.parse(read(manifest.config.digest).toString());
    expect(manifest.layers).toHaveLength(2);
    for (const { digest: sum, size } of [index.manifests[0], manifest.config, ...manifest.layers]) {
      expect(`sha256:${digest(read(sum))}`).toBe(sum);
      expect(read(sum)).toHaveLength(size);
    }
    expect(config.rootfs.diff_ids).toEqual(
      manifest.layers.map((layer: { digest: string }) => `sha256:${digest(gunzipSync(read(layer.digest)))}`),
    );
  });

  test('faults are where they are asked for, and only there', () => {
    const names = (archive: Buffer) => list(archive).match(/blobs\/sha256\/[0-9a-f]{64}/g) ?? [];
    expect(names(buildOciLayout())).toHaveLength(3);
    expect(names(buildOciLayout({ fault: 'missing-config' }))).toHaveLength(2);
    const wrong = buildOciLayout({ fault: 'corrupt-layer' });
    expect(names(wrong).filter((name) => !name.endsWith(digest(extract(wrong, name))))).toHaveLength(1);
  });
});

test('ustar keeps a path of more than 100 bytes', () => {
  const path = `${'d'.repeat(60)}/${'e'.repeat(60)}`;
  expect(list(packTar([{ path, data: 'x' }]))).toContain(path);
});
