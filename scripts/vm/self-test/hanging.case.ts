import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'vitest';

test('this never ends', () => {
  // Only where it is meant to be.
  if (!readFileSync('/proc/cmdline', 'utf8').includes('init=/sbin/vm-init')) throw new Error('not in the guest');
  writeFileSync('/dev/kmsg', '<2>the guest is about to hang\n');
  for (;;);
});
