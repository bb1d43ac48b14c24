import { expect, test } from 'vitest';
import { chooseSubnet, formatSubnet, overlaps, parseSubnet, type Subnet } from '../../src/network/subnet.js';

const read = (text: string) => parseSubnet(text) as Subnet;

test.each([
  ['10.1.2.3/8', '10.0.0.0/8'],
  ['255.255.255.255', '255.255.255.255/32'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['192.168.77.9/22', '192.168.76.0/22'],
])('%s is %s', (text, canonical) => {
  expect(formatSubnet(read(text))).toBe(canonical);
});

test.each(['', 'default', '10.0.0/8', '10.0.0.256', '10.0.0.0/33', 'fd00::/8'])('%j is none', (text) => {
  expect(parseSubnet(text)).toBeUndefined();
});

test.each([
  ['10.0.0.0/8', '10.213.0.0/24', true],
  ['10.213.0.0/24', '10.213.1.0/24', false],
  ['10.213.0.255', '10.213.0.0/24', true],
  ['128.0.0.0/1', '192.168.0.0/16', true],
])('%s and %s overlap: %s', (one, other, expected) => {
  expect([overlaps(read(one), read(other)), overlaps(read(other), read(one))]).toEqual([expected, expected]);
});

test('the first subnet that no route covers is taken, from the next range where one is full', () => {
  const choose = (...used: string[]) => formatSubnet(chooseSubnet(used.map(read)));
  expect(choose('192.168.1.0/24')).toBe('10.213.0.0/24');
  expect(choose('10.213.0.0/25', '10.213.1.7')).toBe('10.213.2.0/24');
  expect(choose('10.0.0.0/8')).toBe('172.29.0.0/24');
  expect(() => choose('0.0.0.0/1', '128.0.0.0/1')).toThrow(/no subnet .* is free/);
});
