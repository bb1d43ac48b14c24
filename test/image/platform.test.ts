import { expect, test } from 'vitest';
import { formatPlatform, getHostPlatform, ratePlatform } from '../../src/image/platform.js';

const amd64 = { os: 'linux', architecture: 'amd64' };
const arm64 = { os: 'linux', architecture: 'arm64' };
const arm = (variant?: string) => ({ os: 'linux', architecture: 'arm', ...(variant === undefined ? {} : { variant }) });

test('the platform of this machine fits itself', () => {
  expect(getHostPlatform().os).toBe('linux');
  expect(ratePlatform(getHostPlatform(), getHostPlatform())).toBe(10);
});

test.each([
  [amd64, amd64],
  [{ ...amd64, architecture: 'x86_64' }, amd64],
  [{ ...amd64, variant: 'v1' }, amd64],
  [arm64, { ...arm64, variant: 'v8' }],
  [{ ...arm64, variant: 'v8' }, arm64],
  [{ ...arm64, architecture: 'aarch64' }, arm64],
  [{}, amd64],
  [{ architecture: 'amd64' }, amd64],
  [arm(), arm('v7')],
  [arm('v6'), arm('v7')],
])('%j runs on %j', (offered, wanted) => {
  expect(ratePlatform(offered, wanted)).toBeGreaterThan(0);
});

test.each([
  [arm64, amd64],
  [amd64, arm64],
  [{ ...amd64, os: 'windows' }, amd64],
  [{ ...amd64, variant: 'v3' }, amd64],
  [{ ...arm64, variant: 'v9' }, arm64],
  [arm('v7'), arm('v6')],
  [arm('v8'), arm64],
  [{ os: 'unknown', architecture: 'unknown' }, amd64],
])('%j does not run on %j', (offered, wanted) => {
  expect(ratePlatform(offered, wanted)).toBe(0);
});

test('the nearest older variant is the best of those', () => {
  const ratings = ['v7', 'v6', 'v5'].map((variant) => ratePlatform(arm(variant), arm('v7')));
  expect(ratings).toEqual([...ratings].sort((a, b) => b - a));
  expect(new Set(ratings).size).toBe(3);
});

test('as text', () => {
  expect(formatPlatform({ ...arm64, variant: 'v8' })).toBe('linux/arm64/v8');
  expect(formatPlatform(amd64)).toBe('linux/amd64');
  expect(formatPlatform({})).toBe('unknown/unknown');
});
