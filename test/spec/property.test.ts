import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DriverError } from '../../src/core/error.js';
import { parseConfigFile } from '../../src/image/document.js';
import { buildPolicySchema } from '../../src/policy/json-schema.js';
import { parsePolicy } from '../../src/policy/parse.js';
import type { FlatPolicy, IsolationPolicy, UlimitSpec } from '../../src/policy/types.js';
import { parseCreateOptions } from '../../src/provider/create-options.js';
import { buildLabels, ID_PREFIX } from '../../src/session/record.js';
import { buildSpec, checkSpecInput } from '../../src/spec/build.js';
import { chooseEnv } from '../../src/spec/environment.js';
import type { HostFacts } from '../../src/spec/host.js';
import { readImageConfig } from '../../src/spec/image-config.js';
import { buildExecProcess } from '../../src/spec/process.js';
import type { OciSpec } from '../../src/spec/types.js';
import { resolveUser } from '../../src/spec/user.js';
import { arbitraryOf, hostileJson } from '../support/json-arbitrary.js';
import { countRuns } from '../support/runs.js';
import { invariants } from './invariants.js';
import { findSchemaFaults } from './oci-schema.js';

const LONG_MS = 3_600_000;

const host: HostFacts = {
  cgroup: 'v1',
  cpus: 128,
  memoryBytes: 2 ** 52,
  kernel: '6.1.0',
  arch: 'x64',
  seccomp: true,
  apparmor: true,
  userns: true,
  idmap: true,
  swapAccounting: true,
  ioWeight: true,
  network: true,
  allowlist: true,
  initPath: '/usr/bin/catatonit',
};

/** A text as users and attackers give it where a name, a path or a value is meant. */
const text = fc.oneof(
  fc.constantFrom(
    '',
    '/',
    '.',
    '..',
    '/proc/self/fd/7',
    '/a/../proc',
    'proc',
    'A=B',
    'a\0b',
    '/srv',
    '/a//b',
    'é',
    '💥',
  ),
  fc.string({ maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 12 }),
);
/** Mostly what is right, so that most of it comes through. */
const mostly = (right: RegExp) =>
  fc.oneof({ weight: 19, arbitrary: fc.stringMatching(right) }, { weight: 1, arbitrary: text });
const name = mostly(/^[A-Z_]{1,8}$/);
const value = mostly(/^[a-z =/]{0,8}$/);
const environment = fc.dictionary(name, value, { maxKeys: 3 });
const image = fc.record(
  {
    User: text,
    Env: fc.array(
      fc.tuple(name, value).map((pair) => pair.join('=')),
      { maxLength: 4 },
    ),
    WorkingDir: mostly(/^(\/[a-z]{1,5}){1,3}$/),
  },
  { requiredKeys: [] },
);
const policies = fc.oneof(
  { weight: 4, arbitrary: arbitraryOf(buildPolicySchema(), 0).map((policy) => reconcile(policy as Asked)) },
  { weight: 1, arbitrary: arbitraryOf(buildPolicySchema(), 1 / 60) },
);
type Asked = IsolationPolicy & FlatPolicy;

/** Each field is right by itself, and most pairs of them contradict one another: only one of each pair is kept. */
function reconcile({ memory, cpu, networkIsolation, profile, userns = false, network, ...policy }: Asked): Asked {
  const { ports = [], dns = [], allow = [], ...rules } = network ?? {};
  const servers = { dns: dns.slice(0, 3).map(() => '192.0.2.1') };
  const isOffline = policy.networkMode === 'none' || networkIsolation === true;
  const { ulimits = [], memoryMb = 64, ...resources } = policy.resources ?? {};
  const hard = (limit: UlimitSpec) => ({ ...limit, hard: Math.max(limit.soft, limit.hard) });
  return {
    ...policy,
    ...(network === undefined || isOffline
      ? {}
      : policy.networkMode === 'allowlist'
        ? { network: { ...servers, allow: allow.map((_, index) => `*.n${index}.example.org:443`) } }
        : { network: { ...servers, ...rules, ports: ports.filter(Number.isInteger) } }),
    ...(typeof userns === 'object' ? { userns: { ...userns, size: 65_536 } } : { userns }),
    ...(profile === undefined ? {} : { profile: profile.length % 2 === 0 ? 'strict' : 'permissive' }),
    ...(policy.networkMode === undefined && networkIsolation !== undefined ? { networkIsolation } : {}),
    ...(policy.resources === undefined
      ? { ...(memory === undefined ? {} : { memory }), ...(cpu === undefined ? {} : { cpu }) }
      : { resources: { ...resources, memoryMb, ulimits: ulimits.slice(0, 1).map(hard) } }),
  };
}

const binds = fc.array(
  fc.record({
    source: fc.stringMatching(/^\/srv\/[a-z]{1,5}$/),
    target: fc.stringMatching(/^(\/[a-z]{1,5}){1,3}$/),
    readOnly: fc.boolean(),
    hasSubmounts: fc.boolean(),
  }),
  { maxLength: 3 },
);

/** The value, or undefined where it is refused. Anything but an error of ours is a failure. */
function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (error instanceof DriverError && error.code !== 'unknown') return undefined;
    throw error;
  }
}

function build(
  policy: unknown,
  config: object,
  env: Record<string, string>,
  more: Partial<Parameters<typeof buildSpec>[0]>,
) {
  const resolved = parsePolicy(policy);
  // A file is read before, and is no business of the builder.
  const seccomp = typeof resolved.seccomp === 'object' ? ('default' as const) : resolved.seccomp;
  const given = { ...resolved, seccomp };
  const chosen = chooseEnv(given, { HOME: '/host/home', SECRET: 'of the host' }, env);
  checkSpecInput({ command: undefined, env: chosen });
  const names = { hostname: 's1', cgroupsPath: '/cadre/s1', user: { uid: 0, gid: 0 } };
  return { policy: given, spec: buildSpec({ policy: given, image: config, host, env: chosen, ...names, ...more }) };
}

const listBroken = (spec: OciSpec, policy: ReturnType<typeof build>['policy']) =>
  Object.entries(invariants).flatMap(([name, holds]) => (holds(spec, policy) ? [] : [name]));

test('policies, images, environments and mounts: no crash, and no spec that breaks an invariant', {
  timeout: LONG_MS,
}, () => {
  let built = 0;
  let total = 0;
  const v2 = fc.boolean();
  fc.assert(
    fc.property(policies, image, environment, binds, v2, (policy, config, env, bound, isV2) => {
      total++;
      const more = { binds: bound, host: isV2 ? { ...host, cgroup: 'v2' as const, arch: 'arm64' } : host };
      const made = attempt(() => build(policy, config, env, more));
      if (made === undefined) return;
      built++;
      const broken = listBroken(made.spec, made.policy);
      if (broken.length > 0) expect({ broken, spec: made.spec }).toBeNull();
      expect(findSchemaFaults(made.spec)).toEqual([]);
    }),
    { numRuns: countRuns(30_000) },
  );
  // Both sides of the line were walked.
  expect(built / total).toBeGreaterThan(0.2);
  expect(built / total).toBeLessThan(0.95);
});

test('execs: whatever is asked, an exec has the privileges and limits of its session', { timeout: LONG_MS }, () => {
  const { spec } = build({ capabilities: { drop: ['ALL'] } }, {}, {}, {});
  const { capabilities, rlimits, noNewPrivileges, oomScoreAdj } = spec.process;
  let built = 0;
  const args = fc.array(text, { maxLength: 3 });
  fc.assert(
    fc.property(
      text,
      args,
      fc.dictionary(text, text, { maxKeys: 3 }),
      fc.option(text, { nil: undefined }),
      (command, rest, env, cwd) => {
        const process = attempt(() => buildExecProcess(spec, { command, args: rest, env, cwd }));
        if (process === undefined) return;
        built++;
        expect(process).toMatchObject({
          capabilities,
          rlimits,
          noNewPrivileges,
          oomScoreAdj,
          args: [command, ...rest],
        });
        expect(process.cwd).toMatch(/^\/(?!proc(\/|$))/);
        expect(process.cwd.split('/')).not.toContain('..');
        expect(process.env.every((entry) => /^[^=\0]+=[^\0]*$/.test(entry))).toBe(true);
      },
    ),
    { numRuns: countRuns(25_000) },
  );
  expect(built).toBeGreaterThan(1_000);
});

test('documents and user files of an image: ids that there are, a clean directory, or an error of ours', {
  timeout: LONG_MS,
}, () => {
  const config = fc.dictionary(fc.constantFrom('User', 'Env', 'WorkingDir', 'Cmd', 'Volumes', 'Labels'), hostileJson);
  const document = fc.record({ config: fc.oneof(config, hostileJson), rootfs: fc.constant({}) });
  const id = fc.oneof(text, fc.constantFrom('0', '-1', '5', '4294967294', '4294967295', '99999999999', '1e3', ' 1'));
  const line = fc.tuple(
    fc.constantFrom('agent', 'staff', '5'),
    fc.constant('x'),
    id,
    fc.oneof(id, fc.constant('agent')),
  );
  const file = fc
    .array(
      line.map((fields) => fields.join(':')),
      { maxLength: 3 },
    )
    .map((lines) => lines.join('\n'));
  const user = fc.oneof(fc.constantFrom('agent', 'agent:staff', '5', '5:staff'), id);
  const isId = (value: number) => Number.isInteger(value) && value >= 0 && value < 2 ** 32 - 1;
  let resolved = 0;
  fc.assert(
    fc.property(document, user, file, file, (json, name, passwd, group) => {
      const { cwd } = attempt(() => readImageConfig(parseConfigFile(json, 'image').config)) ?? { cwd: '/' };
      expect(cwd).toMatch(/^\/(?!proc(\/|$))/);
      const found = attempt(() => resolveUser(name, { passwd, group }));
      if (found === undefined) return;
      resolved++;
      expect([found.uid, found.gid, ...(found.additionalGids ?? [])].filter((value) => !isId(value))).toEqual([]);
    }),
    { numRuns: countRuns(10_000) },
  );
  expect(resolved).toBeGreaterThan(1_000);
});

test('names and metadata: no label but of ours, no id that containerd would refuse', { timeout: LONG_MS }, () => {
  const name = fc.oneof(text, fc.stringMatching(/^[a-zA-Z0-9._-]{1,70}$/));
  const key = fc.oneof(
    text,
    fc.constantFrom('containerd.io/gc.root', 'containerd.io/restart.status', '../x', 'cadre.dev/owner', '__proto__'),
    fc.stringMatching(/^[A-Za-z0-9._/-]{1,210}$/),
  );
  const value = fc.oneof(
    text,
    fc.integer({ min: 3_000, max: 5_000 }).map((length) => 'x'.repeat(length)),
  );
  let accepted = 0;
  fc.assert(
    fc.property(
      fc.record({ name, metadata: fc.dictionary(key, value, { maxKeys: 3 }) }, { requiredKeys: [] }),
      (options) => {
        const parsed = attempt(() => parseCreateOptions(options));
        if (parsed === undefined) return;
        accepted++;
        const { name: given, metadata = {} } = parsed.session;
        if (given !== undefined)
          expect(`${ID_PREFIX}${given}-01234567`).toMatch(/^(?=.{1,76}$)[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/);
        const record = { ...blank, ...(given === undefined ? {} : { name: given }), metadata };
        for (const [label, content] of Object.entries(buildLabels(record))) {
          // The one label for containerd's own use is ours, and keeps the image.
          expect(label).toMatch(/^(cadre\.dev\/.+|containerd\.io\/gc\.ref\.content\.image)$/);
          expect(
            content === 'x' || label !== 'containerd.io/gc.ref.content.image' || content.startsWith('sha256:'),
          ).toBe(true);
          expect(label.length + Buffer.byteLength(content)).toBeLessThanOrEqual(4096);
        }
      },
    ),
    { numRuns: countRuns(20_000) },
  );
  expect(accepted).toBeGreaterThan(1_000);
});

test('anything at all as options: refused with faults, or taken', { timeout: LONG_MS }, () => {
  fc.assert(
    fc.property(hostileJson, (options) => {
      attempt(() => parseCreateOptions(options));
    }),
    { numRuns: countRuns(15_000) },
  );
});

test('the documents that reviews read are right by the specification’s own schema, and wrong ones are not', () => {
  const golden = join(import.meta.dirname, 'golden');
  const specs = readdirSync(golden).map((name) => JSON.parse(readFileSync(join(golden, name), 'utf8')));
  expect(specs.length).toBeGreaterThan(3);
  for (const spec of specs) expect(findSchemaFaults(spec)).toEqual([]);
  const [spec] = specs;
  expect(findSchemaFaults({ ...spec, ociVersion: undefined })).not.toEqual([]);
  expect(findSchemaFaults({ ...spec, process: { ...spec.process, cwd: 5 } })).toEqual(['/process/cwd must be string']);
  expect(findSchemaFaults({ ...spec, linux: { ...spec.linux, namespaces: [{ type: 'made-up' }] } })).not.toEqual([]);
});

test('the invariants can be broken', () => {
  const { spec, policy } = build({}, {}, {}, {});
  expect(listBroken(spec, policy)).toEqual([]);
  const open = {
    ...spec,
    linux: { ...spec.linux, namespaces: [], maskedPaths: [] },
    process: { ...spec.process, cwd: '/proc/1' },
  };
  expect(listBroken(open, policy)).toEqual([
    'every namespace is new, none is joined',
    'the kernel is masked',
    'the working directory is absolute, clean and not below /proc',
  ]);
});

const blank = {
  id: 'cadre-x',
  owner: 'o',
  image: 'i',
  manifest: { mediaType: 'm', digest: `sha256:${'0'.repeat(64)}`, size: 1 },
  runtime: 'io.containerd.runc.v2',
  snapshotter: 'overlayfs',
  createdAt: new Date(0),
} as unknown as Parameters<typeof buildLabels>[0];
