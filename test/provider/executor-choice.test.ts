import { expect, test } from 'vitest';
import { checkSupervisor, chooseExecutor } from '../../src/provider/executor-choice.js';

const plain = { add: [], drop: [] };

test.each([
  ['a guest', 'io.containerd.kata.v2', plain],
  ['a runtime that nothing is known of', 'io.containerd.runsc.v1', plain],
  ['a policy by which root inside may trace', 'io.containerd.runc.v2', { add: ['SYS_PTRACE'], drop: [] }],
])('auto leaves %s to containerd', (_, runtime, capabilities) => {
  expect(chooseExecutor('auto', { runtime, policy: { capabilities } })).toBe('task');
});

test.each(['task', 'supervisor'] as const)('%s by name is taken by its word', (name) => {
  const policy = { capabilities: { add: ['SYS_PTRACE'], drop: [] } };
  expect(chooseExecutor(name, { runtime: 'runc', policy })).toBe(name);
});

test('what a guest cannot have is refused with what can be asked', () => {
  expect(checkSupervisor('kata')).toEqual([
    { path: 'executor', value: 'supervisor', expected: expect.stringMatching(/^task, as /) },
  ]);
});
