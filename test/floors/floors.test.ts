import { describe, expect, test } from 'vitest';
import { findViolations, readImports } from './read-imports.js';

describe('floors', () => {
  test('every import of src goes to a lower floor', async () => {
    const imports = await readImports('src');
    // Enough of them that a reader which finds nothing cannot pass.
    expect(imports.length).toBeGreaterThan(50);
    expect(findViolations(imports)).toEqual([]);
  });

  test.each([
    ['src/core/error.ts', 'src/rpc/channel.ts', 'core (floor 0) imports rpc (floor 1)'],
    ['src/spec/build.ts', 'src/image/image.ts', 'spec (floor 2) imports image (floor 2)'],
    ['src/session/create.ts', 'src/provider/provider.ts', 'session (floor 3) imports provider (floor 4)'],
    ['src/provider/provider.ts', 'src/generated/google/protobuf/any.ts', 'provider may not import generated'],
    ['src/session/create.ts', '@grpc/grpc-js', 'session may not import @grpc/grpc-js'],
    ['src/session/create.ts', 'zod', 'session may not import zod'],
    ['src/attic/old.ts', 'src/core/error.ts', 'attic is on no floor'],
  ])('%s -> %s is refused', (from, to, reason) => {
    expect(findViolations([{ from, to }])).toEqual([`${from} -> ${to}: ${reason}`]);
  });

  test.each([
    ['src/session/create.ts', 'src/image/image.ts'],
    ['src/rpc/any.ts', 'src/generated/google/protobuf/any.ts'],
    ['src/spec/build.ts', 'src/spec/types.ts'],
    ['src/index.ts', 'src/provider/provider.ts'],
  ])('%s -> %s is allowed', (from, to) => {
    expect(findViolations([{ from, to }])).toEqual([]);
  });
});
