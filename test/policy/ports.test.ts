import { describe, expect, test } from 'vitest';
import { parsePolicy } from '../../src/policy/parse.js';
import { listPorts } from '../../src/policy/ports.js';

const loopback = '127.0.0.1';

test.each([
  [80, [{ hostIp: loopback, port: 80, protocol: 'tcp' }]],
  ['8080:80', [{ hostIp: loopback, hostPort: 8080, port: 80, protocol: 'tcp' }]],
  ['0.0.0.0:53:5353/udp', [{ hostIp: '0.0.0.0', hostPort: 53, port: 5353, protocol: 'udp' }]],
  [
    '8000-8001:80-81',
    [
      { hostIp: loopback, hostPort: 8000, port: 80, protocol: 'tcp' },
      { hostIp: loopback, hostPort: 8001, port: 81, protocol: 'tcp' },
    ],
  ],
])('%j', (entry, expected) => {
  expect(listPorts([entry])).toEqual(expected);
});

describe('what makes no sense is refused, all of it at once', () => {
  test.each([
    [
      { network: { ports: ['80:81:82:83', 'x', '8080:80/sctp'] } },
      ['network.ports[0]', 'network.ports[1]', 'network.ports[2]'],
    ],
    [
      { network: { ports: ['0:80', '70000:80', '90-80:1-11', '8000-8002:80-81'] } },
      [0, 1, 2, 3].map((n) => `network.ports[${n}]`),
    ],
    [{ network: { ports: ['999.0.0.1:80:80', '80:80', '0.0.0.0:80:81'] } }, ['network.ports[0]', 'network.ports[2]']],
    [{ network: { dns: ['1.2.3', '::1', 'fe80::1::2'] } }, ['network.dns[0]', 'network.dns[2]']],
    [{ network: { dns: ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'] } }, ['network.dns']],
    [{ network: { bandwidthKbps: { in: 1, up: 5 } } }, ['network.bandwidthKbps.up', 'network.bandwidthKbps.in']],
    [{ network: { name: 'host', ports: [80], bandwidthKbps: 1000 } }, ['network.ports', 'network.bandwidthKbps']],
    [{ networkMode: 'none', network: { dns: ['10.0.0.1'] } }, ['network.dns']],
    [{ networkIsolation: true, network: { ports: [80] } }, ['network.ports']],
    [{ profile: 'strict', network: { name: 'other' } }, ['network.name']],
  ])('%j', (policy, paths) => {
    let faults: { path: string }[] = [];
    try {
      parsePolicy(policy);
    } catch (error) {
      faults = (error as { faults: { path: string }[] }).faults;
    }
    expect(faults.map(({ path }) => path)).toEqual(paths);
  });

  test('rules of the profile mean nothing to a session that asks for no network', () => {
    const base = { profile: 'default', profiles: { default: {} }, policy: { network: { dns: ['10.0.0.1'] } } };
    expect(parsePolicy({ networkMode: 'none' }, { base }).networkMode).toBe('none');
  });
});
