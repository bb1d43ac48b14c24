import { expect, test } from 'vitest';
import { listSources } from '../../src/image/pull-blob.js';
import { parseReference } from '../../src/image/reference.js';
import { Repository } from '../../src/image/registry/repository.js';

test.each([
  ['busybox', 'docker.io'],
  ['registry.example:5000/app', 'registry.example'],
  ['[fd00::1]:5000/app', 'fd00::1'],
  ['[fd00::1]/app', 'fd00::1'],
])('where the blobs of %s are to be had is kept under the host without its port', (reference, host) => {
  const repository = new Repository(parseReference(reference));
  const labels = { [`containerd.io/distribution.source.${host}`]: 'team/a,team/b' };
  expect(listSources(labels, repository)).toEqual(['team/a', 'team/b']);
  expect(listSources({}, repository)).toEqual([]);
});
