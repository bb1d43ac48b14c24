import { describe, expect, test } from 'vitest';
import { compareFacts, findSince, type History, isLater, renameFacts, UNRELEASED } from './compare.js';
import { parseFacts } from './text-facts.js';

const original = `
  syntax = "proto3";
  package demo.v1;
  service Tasks {
    rpc Create(CreateRequest) returns (CreateResponse);
    rpc Watch(CreateRequest) returns (stream CreateResponse);
  }
  message CreateRequest {
    string id = 1;
    google.protobuf.Any options = 2;
    repeated string filters = 3;
    map<string, string> labels = 4;
    Kind kind = 5;
    optional Spec spec = 6;
    oneof source {
      string path = 7;
      bytes body = 8;
    }
  }
  message CreateResponse { uint32 pid = 1; }
  message Spec { string text = 1; }
  enum Kind { NONE = 0; VIEW = 1; }`;

const none: History = { since: new Map(), dropped: new Map() };

/** Compares the original, which plays the vendor in version 1.7.24, with a changed copy. */
function compare(from: string, to: string, history: Partial<History> = {}, { swap = false } = {}) {
  if (!original.includes(from)) throw new Error(`nothing to change: ${from}`);
  const texts = [original.replace(from, to), original];
  const [ours, facts] = (swap ? texts.reverse() : texts).map((text) => parseFacts([text]));
  if (ours === undefined || facts === undefined) throw new Error('two texts expected');
  return compareFacts(ours, { label: '1.7', facts, versionOf: () => '1.7.24~ds1-6' }, { ...none, ...history });
}

test('agrees with itself', () => {
  const { same, newer, conflicts, omitted } = compare('', '');
  expect({ newer, conflicts, omitted }).toEqual({ newer: [], conflicts: [], omitted: [] });
  expect(same).toHaveLength(19);
});

describe('a planted mistake is named', () => {
  test.each([
    ['number', 'string id = 1', 'string id = 9', 'CreateRequest.id: ours 9 string, vendor 1.7 has 1 string'],
    [
      'type',
      'google.protobuf.Any options',
      'string options',
      'CreateRequest.options: ours 2 string, vendor 1.7 has 2 google.protobuf.Any',
    ],
    [
      'message type',
      'optional Spec spec',
      'optional CreateResponse spec',
      'CreateRequest.spec: ours 6 optional demo.v1.CreateResponse, vendor 1.7 has 6 optional demo.v1.Spec',
    ],
    [
      'cardinality',
      'repeated string filters',
      'string filters',
      'CreateRequest.filters: ours 3 string, vendor 1.7 has 3 repeated string',
    ],
    [
      'presence',
      'optional Spec spec',
      'Spec spec',
      'CreateRequest.spec: ours 6 demo.v1.Spec, vendor 1.7 has 6 optional demo.v1.Spec',
    ],
    [
      'map value',
      'map<string, string>',
      'map<string, bytes>',
      'CreateRequest.labels: ours 4 map<string, bytes>, vendor 1.7 has 4 map<string, string>',
    ],
    ['enum value', 'VIEW = 1', 'VIEW = 2', 'Kind.VIEW: ours 2, vendor 1.7 has 1'],
    [
      'oneof',
      'oneof source',
      'oneof origin',
      'CreateRequest.path: ours 7 string in oneof origin, vendor 1.7 has 7 string in oneof source',
    ],
    [
      'response',
      'Create(CreateRequest) returns (CreateResponse)',
      'Create(CreateRequest) returns (Spec)',
      'Tasks/Create: ours (demo.v1.CreateRequest) returns (demo.v1.Spec), ' +
        'vendor 1.7 has (demo.v1.CreateRequest) returns (demo.v1.CreateResponse)',
    ],
    [
      'streaming',
      '(stream CreateResponse)',
      '(CreateResponse)',
      'Tasks/Watch: ours (demo.v1.CreateRequest) returns (demo.v1.CreateResponse), ' +
        'vendor 1.7 has (demo.v1.CreateRequest) returns (stream demo.v1.CreateResponse)',
    ],
    [
      'field name',
      'string id',
      'string key',
      'CreateRequest.key: ours 1 string, vendor 1.7 has 1 string as demo.v1.CreateRequest.id',
    ],
    ['extra message', 'message Spec', 'message Extra {} message Spec', 'Extra: ours message, vendor 1.7 has none'],
    [
      'extra RPC',
      'rpc Watch',
      'rpc Stop(Spec) returns (Spec); rpc Watch',
      'Tasks/Stop: ours (demo.v1.Spec) returns (demo.v1.Spec), vendor 1.7 has none',
    ],
  ])('%s', (_, from, to, conflict) => {
    expect(compare(from, to).conflicts[0]).toBe(`demo.v1.${conflict}`);
  });
});

describe('what only the vendor has', () => {
  const rpc = 'rpc Watch(CreateRequest) returns (stream CreateResponse);';

  test('is named: field, RPC and enum value', () => {
    expect(compare(rpc, '').omitted).toEqual([
      'demo.v1.Tasks/Watch: ours none, vendor 1.7 has (demo.v1.CreateRequest) returns (stream demo.v1.CreateResponse)',
    ]);
    expect(compare('string id = 1;', '').omitted).toEqual([
      'demo.v1.CreateRequest.id: ours none, vendor 1.7 has 1 string',
    ]);
    expect(compare('VIEW = 1;', '').omitted).toEqual(['demo.v1.Kind.VIEW: ours none, vendor 1.7 has 1']);
  });

  test('is no matter when we do not transcribe the message at all', () => {
    expect(compare('message Spec', 'message Other {} message Spec', {}, { swap: true })).toMatchObject({
      conflicts: [],
      omitted: [],
    });
  });

  test('is excused when a later version dropped it, and only then', () => {
    const dropped = (version: string) =>
      compare('string id = 1;', '', { dropped: new Map([['demo.v1.CreateRequest.id', version]]) });
    expect(dropped('2.0.0').omitted).toEqual([]);
    expect(dropped('1.7.24').omitted).toHaveLength(1);
  });
});

describe('what only we have', () => {
  const extra = 'string id = 1; string user = 11;';
  const compareSince = (version: string, to = extra) =>
    compare('string id = 1;', to, { since: new Map([['demo.v1.CreateRequest.user', version]]) });

  test('is allowed when it came later than the vendor', () => {
    expect(compareSince('2.0.0')).toMatchObject({ newer: ['demo.v1.CreateRequest.user'], conflicts: [] });
    expect(compareSince(UNRELEASED)).toMatchObject({ newer: ['demo.v1.CreateRequest.user'], conflicts: [] });
  });

  test('is a conflict when it should have been there', () => {
    expect(compareSince('1.7.24').conflicts).toEqual([
      'demo.v1.CreateRequest.user: ours 11 string, vendor 1.7 has none, though since.json says 1.7.24 and this is 1.7.24~ds1-6',
    ]);
  });

  test('never takes a number that the vendor uses otherwise', () => {
    expect(compareSince('2.0.0', 'string user = 1;').conflicts).toEqual([
      'demo.v1.CreateRequest.user: ours 1 string, vendor 1.7 has 1 string as demo.v1.CreateRequest.id',
    ]);
  });

  test('is not excused by a table that dates too late what the vendor has', () => {
    const since = new Map([['demo.v1.Spec', '2.0.0']]);
    expect(compare('', '', { since }).conflicts).toEqual([
      'demo.v1.Spec: since.json says 2.0.0, vendor 1.7 has it in 1.7.24~ds1-6',
      'demo.v1.Spec.text: since.json says 2.0.0, vendor 1.7 has it in 1.7.24~ds1-6',
    ]);
  });

  test('is left alone when the vendor ships nothing of that family', () => {
    const ours = parseFacts([original]);
    const vendor = { label: '1.7', facts: new Map(), versionOf: () => undefined };
    expect(compareFacts(ours, vendor, none)).toEqual({ same: [], newer: [], conflicts: [], omitted: [] });
  });
});

test('a renamed message is compared under its new name, wherever it is mentioned', () => {
  const facts = renameFacts(parseFacts([original]), new Map([['demo.v1.Spec', 'demo.types.Spec']]));
  expect(facts.get('demo.types.Spec.text')?.text).toBe('1 string');
  expect(facts.get('demo.v1.CreateRequest.spec')?.text).toBe('6 optional demo.types.Spec');
  expect([...facts.keys()].filter((name) => name.startsWith('demo.v1.Spec'))).toEqual([]);
});

test('versions are ordered by their leading numbers', () => {
  expect(isLater('1.10.0', '1.7.24~ds1-6')).toBe(true);
  expect(isLater('2.1.9', '2.1.9+ds1-5')).toBe(false);
  expect(isLater('1.7.0', '1.7.24')).toBe(false);
  expect(isLater(UNRELEASED, '99')).toBe(true);
});

test('a since entry covers what it declares, and nothing that only begins alike', () => {
  const since = new Map([
    ['demo.v1.Spec', '2.0.0'],
    ['demo.v1.Tasks/Stop', '2.1.0'],
  ]);
  expect(findSince('demo.v1.Spec.Inner.text', since)).toBe('2.0.0');
  expect(findSince('demo.v1.Tasks/Stop', since)).toBe('2.1.0');
  expect(findSince('demo.v1.Specification', since)).toBeUndefined();
  expect(findSince('demo.v1.Tasks/Start', since)).toBeUndefined();
});
