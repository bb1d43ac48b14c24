import { isIPv4, isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';
import ipaddr from 'ipaddr.js';
import type { Fault } from '../core/error.js';

/** Both ends belong to it. */
export interface PortRange {
  first: number;
  last: number;
}

/** A host that can be reached, by its name. */
export interface NameRule {
  kind: 'name';
  /** In lower case, as punycode, without a dot at its end. */
  name: string;
  /** The names below it, one or more labels of them, and not the name itself. */
  isBelow: boolean;
  /** 80 and 443 unless the rule says. */
  ports: PortRange[];
}

/** A range of IPv4 addresses that can be reached. */
export interface AddressRule {
  kind: 'address';
  /** Its first address. */
  address: string;
  /** Length of the prefix. */
  bits: number;
  /** Every port unless the rule says. */
  ports: PortRange[];
}

/** One entry of `network.allow`, read. */
export type AllowRule = NameRule | AddressRule;

/** Each is looked at for each new connection. */
const MAX_RULES = 1_024;
const webPorts = [80, 443].map((port) => ({ first: port, last: port }));
/** Characters (RFC 1035, section 3.1, without the lengths of the first label and of the root). */
const MAX_NAME = 253;
const allPorts = [{ first: 1, last: 65_535 }];

const FORMS = 'a name such as example.org or *.example.org, or an IPv4 address or range, each with :PORT or :PORT-PORT';
const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
const nameForm = new RegExp(`^${label}(?:\\.${label})*$`);
/** What the URL standard takes for an address ("ends in a number"), such as 127.1 and 0x7f.0.0.1. */
const numberEnd = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/i;

/** What of ASCII a name cannot have: the URL standard would decode some of it, and cut at some. */
const foreign = /[\0-,/:-@[-^`{-\x7f]/;

/** A name as it is on the wire, in lower case and without a dot at its end; undefined for what is no name of a host. */
export function readWireName(text: string): string | undefined {
  // Beyond ASCII there are letters whose lower case is within.
  if (/[^\x21-\x7e]/.test(text)) return undefined;
  const name = text.toLowerCase().replace(/\.$/, '');
  return name.length <= MAX_NAME && nameForm.test(name) && !numberEnd.test(name) ? name : undefined;
}

/** The rule, or what would be accepted instead. */
function readAllowRule(text: string): AllowRule | { expected: string } {
  if (isIPv6(text.replace(/^\[|\](?::.*)?$|\/\d+$/g, '')) || text.startsWith('[')) {
    return { expected: 'an IPv4 address or a name, as a session has no IPv6' };
  }
  const [, host = '', first, last = first] = /^([^:]*)(?::(\d{1,5})(?:-(\d{1,5}))?)?$/u.exec(text) ?? [];
  if (host === '') return { expected: FORMS };
  const given = first === undefined ? undefined : [{ first: Number(first), last: Number(last) }];
  if (given?.some(({ first: low, last: high }) => low < 1 || high > 65_535 || low > high)) {
    return { expected: 'ports from 1 to 65535, a range with its lower end first' };
  }
  const [address = '', length] = host.split('/');
  if (isIPv4(address)) return readRange(host, address, length, given ?? allPorts);
  if (length !== undefined) return { expected: FORMS };
  return readName(host, given ?? webPorts);
}

function readRange(
  text: string,
  address: string,
  length: string | undefined,
  ports: PortRange[],
): AllowRule | { expected: string } {
  if (length !== undefined && !(/^\d{1,2}$/.test(length) && Number(length) <= 32)) {
    return { expected: 'a prefix of 0 to 32 bits' };
  }
  const bits = Number(length ?? 32);
  const start = ipaddr.IPv4.networkAddressFromCIDR(`${address}/${bits}`).toString();
  // Someone who writes one address of many may have meant the one.
  if (start !== address) return { expected: `the first address of the range ${start}/${bits}, or ${address} alone` };
  if (text.split('/').length > 2) return { expected: FORMS };
  return { kind: 'address', address, bits, ports };
}

function readName(text: string, ports: PortRange[]): AllowRule | { expected: string } {
  const isBelow = text.startsWith('*.');
  const bare = isBelow ? text.slice(2) : text;
  if (text === '*') return { expected: "names of hosts, or networkMode 'full' for every host" };
  if (bare.includes('*')) return { expected: '* as the first label alone, such as *.example.org' };
  if (numberEnd.test(bare.replace(/\.$/, ''))) return { expected: 'an IPv4 address as four decimal numbers' };
  const name = foreign.test(bare) ? undefined : readWireName(domainToASCII(bare));
  if (name === undefined) return { expected: FORMS };
  if (isBelow && !name.includes('.')) {
    return { expected: 'at least two labels behind *., as one would be a whole top-level domain' };
  }
  return { kind: 'name', name, isBelow, ports };
}

/** Of a list that is right. */
export function listAllowRules(allow: readonly string[]): AllowRule[] {
  return allow.flatMap((text) => {
    const rule = readAllowRule(text);
    return 'kind' in rule ? [rule] : [];
  });
}

/** Read from anything: what is no text is a fault already. */
export function findAllowFaults(allow: unknown): Fault[] {
  const faults: Fault[] = [];
  for (const [index, text] of Array.isArray(allow) ? allow.entries() : []) {
    if (typeof text !== 'string' || text === '') continue;
    const rule = readAllowRule(text);
    if ('expected' in rule) faults.push({ path: `network.allow[${index}]`, value: text, expected: rule.expected });
  }
  if (Array.isArray(allow) && allow.length > MAX_RULES) {
    faults.push({ path: 'network.allow', value: allow.length, expected: `at most ${MAX_RULES} rules` });
  }
  return faults;
}
