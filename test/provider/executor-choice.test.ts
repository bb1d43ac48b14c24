import { expect, test } from 'vitest';
import { checkSupervisor, chooseExecutor } from '../../src/provider/executor-choice.js';
import { resolveOptions } from '../../src/provider/options.js';

const plain = { add: [], drop: [] };

test.each([
  ['a guest', 'io.containerd.kata.v2', plain, 'it can be asked for by name'],
  ['a runtime that nothing is known of', 'io.containerd.runsc.v1', plain, 'leads into a session'],
  ['a policy by which root inside may trace', 'io.containerd.runc.v2', { add: ['SYS_PTRACE'], drop: [] }, 'SYS_PTRACE'],
])('auto leaves %s to containerd, and says why', (_, runtime, capabilities, reason) => {
  expect(chooseExecutor('auto', { runtime, policy: { capabilities } })).toEqual({
    executor: 'task',
    executorReason: expect.stringContaining(reason),
  });
});

test('who asks for nothing gets auto', () => {
  expect(resolveOptions({ image: 'any' }, {}).executor).toBe('auto');
});

test.each(['task', 'supervisor'] as const)('%s by name is taken by its word', (name) => {
  const policy = { capabilities: { add: ['SYS_PTRACE'], drop: [] } };
  expect(chooseExecutor(name, { runtime: 'runc', policy }).executor).toBe(name);
});

test.each([
  ['io.containerd.runsc.v1', {}, /^task, as no socket /],
  ['io.containerd.kata.v2', { tty: true }, /^task, as .* tty would take on /],
  ['io.containerd.kata.v2', { tty: true, stdin: true }, /^task, as .* tty and stdin would take on /],
])('what a session on %s cannot have is refused with what can be asked: %j', (runtime, main, expected) => {
  expect(checkSupervisor(runtime, main)).toEqual([
    { path: 'executor', value: 'supervisor', expected: expect.stringMatching(expected) },
  ]);
});

test('a guest may have one by name', () => {
  expect(checkSupervisor('io.containerd.kata.v2')).toEqual([]);
  expect(checkSupervisor('runc', { tty: true, stdin: true })).toEqual([]);
});
