import { join } from 'node:path';
import { locateCgroup } from '../../spec/cgroup-path.js';
import type { OciResources, OciSpec } from '../../spec/types.js';
import { findDirectory } from '../cgroup.js';
import { readOptional } from '../proc.js';
import { type Check, check, judge } from './check.js';
import { readPageSize } from './page-size.js';

/** Controllers with limits of ours; the unified hierarchy has the empty name. */
const controllers = ['memory', 'cpu', 'pids', 'devices', 'blkio'];

/**
 * What runc allows beside the spec's own list (libcontainer/specconv, AllowedDevices): null, zero, full, random,
 * urandom, tty, ptmx, pts, tun, and making nodes that then cannot be opened.
 */
const harmless = ['1:3', '1:5', '1:7', '1:8', '1:9', '5:0', '5:2', '136:*', '10:200'].map((id) => `c ${id} rwm`);
const mayList = [...harmless, 'c *:* m', 'b *:* m'];

/** A control group as one process sees it: a file of a controller, or of the unified hierarchy. */
export interface GroupReader {
  isUnified: boolean;
  read(controller: string, file: string): { text: string | undefined; source: string };
}

/** The place of a process in the hierarchies, and its limits there (cgroups(7)). */
export function checkControlGroup({ linux }: OciSpec, pid: number): Check[] {
  const source = `/proc/${pid}/cgroup`;
  const entries = readOptional(source)?.trim().split('\n') ?? [];
  const isUnified = findDirectory(entries, 'memory') === undefined && findDirectory(entries, 'pids') === undefined;
  const paths = entries.flatMap((entry) => {
    const [, names = '', ...path] = entry.split(':');
    const isOurs = isUnified ? names === '' : names.split(',').some((name) => controllers.includes(name));
    return isOurs ? [path.join(':')] : [];
  });
  const unique = [...new Set(paths)];
  const observed = unique.length > 1 ? unique : unique[0];
  return [
    check('linux.cgroupsPath', locateCgroup(linux.cgroupsPath), observed, source),
    ...checkResources(linux.resources, openGroup(entries, isUnified)),
  ];
}

function openGroup(entries: readonly string[], isUnified: boolean): GroupReader {
  return {
    isUnified,
    read(controller, file) {
      const directory = findDirectory(entries, isUnified ? '' : controller);
      if (directory === undefined) return { text: undefined, source: `no control group of ${controller || 'v2'}` };
      const path = join(directory, file);
      return { text: readOptional(path)?.trim(), source: path };
    },
  };
}

export function checkResources(resources: OciResources, group: GroupReader): Check[] {
  const checks = group.isUnified ? checkUnified(resources, group) : checkLegacy(resources, group);
  return checks.map(({ field, ...rest }) => ({ field: `linux.resources.${field}`, ...rest }));
}

/** Documentation/admin-guide/cgroup-v1 */
function checkLegacy({ memory, cpu, pids, devices, blockIO }: OciResources, { read }: GroupReader): Check[] {
  const compare = (field: string, expected: number | undefined, controller: string, file: string): Check[] => {
    if (expected === undefined) return [];
    const { text, source } = read(controller, file);
    return [check(field, expected, readLimit(text), source)];
  };
  return [
    ...compare('memory.limit', toPages(memory?.limit), 'memory', 'memory.limit_in_bytes'),
    ...compare('memory.swap', toPages(memory?.swap), 'memory', 'memory.memsw.limit_in_bytes'),
    ...compare('cpu.quota', cpu?.quota, 'cpu', 'cpu.cfs_quota_us'),
    ...compare('cpu.period', cpu?.period, 'cpu', 'cpu.cfs_period_us'),
    ...compare('cpu.shares', cpu?.shares, 'cpu', 'cpu.shares'),
    ...compare('pids.limit', pids?.limit, 'pids', 'pids.max'),
    ...compare('blockIO.weight', blockIO?.weight, 'blkio', 'blkio.bfq.weight'),
    ...checkDeviceRules(read('devices', 'devices.list'), devices),
  ];
}

function checkDeviceRules(
  { text, source }: { text: string | undefined; source: string },
  rules: OciResources['devices'] = [],
): Check[] {
  if (rules.every(({ allow }) => allow)) return [];
  const lines = text?.split('\n').filter(Boolean);
  const ok = lines?.every((line) => mayList.includes(line)) ?? false;
  return [judge('devices', mayList, lines, source, ok)];
}

/**
 * Documentation/admin-guide/cgroup-v2.rst. There the rules of devices are a program of the kernel's, which no file
 * shows: what is in /dev is checked in any case.
 */
function checkUnified({ memory, cpu, pids, blockIO }: OciResources, { read }: GroupReader): Check[] {
  const from = (file: string) => read('', file);
  const checks: Check[] = [];
  const compare = (field: string, expected: number | undefined, file: string) => {
    if (expected === undefined) return;
    const { text, source } = from(file);
    checks.push(check(field, expected, readLimit(text), source));
  };
  const { limit, swap } = memory ?? {};
  compare('memory.limit', toPages(limit), 'memory.max');
  // The document counts memory and swap together, the kernel here each by itself.
  if (limit !== undefined && swap !== undefined) compare('memory.swap', toPages(swap - limit), 'memory.swap.max');
  if (cpu?.quota !== undefined) {
    const { text, source } = from('cpu.max');
    const [quota, period] = text?.split(' ').map(readLimit) ?? [];
    checks.push(check('cpu.quota', cpu.quota, quota, source), check('cpu.period', cpu.period, period, source));
  }
  if (cpu?.shares !== undefined) {
    const { text, source } = from('cpu.weight');
    const expected = convertShares(cpu.shares);
    const weight = readLimit(text);
    checks.push(judge('cpu.shares', expected, weight, source, expected.includes(weight as number)));
  }
  compare('pids.limit', pids?.limit, 'pids.max');
  if (blockIO?.weight !== undefined) {
    const { text, source } = from('io.bfq.weight');
    checks.push(check('blockIO.weight', blockIO.weight, readLimit(text?.replace('default ', '')), source));
  }
  return checks;
}

/**
 * The weights that runtimes make of shares: the straight line that all had, and the curve through 1024 = 100 that newer
 * ones have (runc 1.3.2, crun 1.23).
 */
function convertShares(shares: number): number[] {
  const line = Math.floor(1 + ((shares - 2) * 9_999) / 262_142);
  const log = Math.log2(shares);
  const curve = Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34));
  return [...new Set([line, Math.min(curve, 10_000)])];
}

/** Limits of memory are kept in whole pages. */
function toPages(bytes: number | undefined): number | undefined {
  if (bytes === undefined) return undefined;
  const page = readPageSize();
  return Math.floor(bytes / page) * page;
}

/** A word such as `max` stays one. */
function readLimit(text: string | undefined): number | string | undefined {
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : text;
}
