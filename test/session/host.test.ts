import { expect, test } from 'vitest';
import { hasBfq } from '../../src/session/host.js';

test.each([
  [['none mq-deadline kyber [bfq]'], true],
  [['[bfq] none', 'mq-deadline [bfq]'], true],
  [['mq-deadline [bfq]', '[none] bfq'], false],
  [['none [mq-deadline] kyber bfq'], false],
  [[''], false],
  [[], false],
])('disks with schedulers %j share by weight: %j', (schedulers, expected) => {
  expect(hasBfq(schedulers)).toBe(expected);
});
