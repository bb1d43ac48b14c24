import { arch, endianness } from 'node:os';
import { object } from '../policy/rule.js';
import { text } from '../policy/schema.js';
import type { Platform } from './document.js';

/** What an option of that name has to be. */
export const platformRule = object({ os: text(64), architecture: text(64), variant: text(64) }, ['os', 'architecture']);

/** Other people's words for what Go calls `amd64` and so on; the first two are Node's. */
const aliases: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', x86_64: 'amd64', aarch64: 'arm64' };
/** What a processor of the kind is when nothing else is said. */
const defaultVariants: Readonly<Record<string, string>> = { amd64: 'v1', arm64: 'v8', arm: 'v7' };

/** The platform of this machine's containers, in Go's words. */
export function getHostPlatform(): Platform {
  const node = arch();
  const architecture = node === 'ppc64' && endianness() === 'LE' ? 'ppc64le' : (aliases[node] ?? node);
  return { os: 'linux', architecture };
}

/**
 * How well an image runs where `wanted` is: 0 not at all, more is better. What an image does not say is taken to fit.
 * A 32-bit ARM processor runs what was built for its older variants too.
 */
export function ratePlatform(offered: Partial<Platform>, wanted: Platform): number {
  const have = normalizePlatform({ ...wanted, variant: '', ...offered });
  const want = normalizePlatform(wanted);
  if (have.os !== want.os || have.architecture !== want.architecture) return 0;
  if (have.variant === want.variant) return 10;
  if (want.architecture !== 'arm') return 0;
  const older = Number(want.variant.slice(1)) - Number(have.variant.slice(1));
  return older > 0 && older < 10 ? 10 - older : 0;
}

function normalizePlatform({ os, architecture, variant = '' }: Platform): Required<Platform> {
  const known = aliases[architecture] ?? architecture;
  return { os, architecture: known, variant: variant === '' ? (defaultVariants[known] ?? '') : variant };
}

/** `linux/arm64/v8`, as every tool prints it. */
export function formatPlatform(platform: Partial<Platform>): string {
  const { os = 'unknown', architecture = 'unknown', variant } = platform;
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}
