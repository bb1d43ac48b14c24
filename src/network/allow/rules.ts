import ipaddr from 'ipaddr.js';
import { type AddressRule, listAllowRules, type NameRule, type PortRange } from '../../policy/allow.js';
import { type FindClosed, isWithin, type Range } from './closed.js';

interface OpenRange {
  range: Range;
  ports: PortRange[];
}

/** What a session may reach, by its rules as they are now. */
export class Ruleset {
  readonly #names: NameRule[];
  readonly #ranges: OpenRange[];
  readonly #findClosed: FindClosed;

  constructor(allow: readonly string[], findClosed: FindClosed) {
    const rules = listAllowRules(allow);
    this.#names = rules.filter((rule): rule is NameRule => rule.kind === 'name');
    this.#ranges = rules
      .filter((rule): rule is AddressRule => rule.kind === 'address')
      .map(({ address, bits, ports }) => ({ range: [ipaddr.IPv4.parse(address), bits], ports }));
    this.#findClosed = findClosed;
  }

  /** Of a name in lower case; without a port whether any of its ports is allowed. */
  allowsName(name: string, port?: number): boolean {
    return this.#names.some(
      (rule) =>
        (rule.isBelow ? name.endsWith(`.${rule.name}`) : name === rule.name) &&
        (port === undefined || includes(rule.ports, port)),
    );
  }

  /** Whether a rule for names has the port. */
  hasNamesAt(port: number): boolean {
    return this.#names.some(({ ports }) => includes(ports, port));
  }

  /** Whether a rule for addresses has it. */
  allowsAddress(address: string, port: number): boolean {
    return this.#opens(address, port) === true;
  }

  /** Whether a name may lead there: a closed address only where a rule for addresses names it, and the port if one is given. */
  isReachable(address: string, port?: number): boolean {
    return this.#opens(address, port) !== false;
  }

  /** True by a rule, false because it is closed, undefined where neither says anything. */
  #opens(text: string, port: number | undefined): boolean | undefined {
    const address = ipaddr.IPv4.parse(text);
    const closed = this.#findClosed(address);
    // A range that is wider than what is closed, such as 0.0.0.0/0, does not name it.
    const isNamed = this.#ranges.some(
      ({ range, ports }) =>
        address.match(range) &&
        (port === undefined || includes(ports, port)) &&
        closed.every((other) => isWithin(range, other)),
    );
    if (isNamed) return true;
    return closed.length > 0 ? false : undefined;
  }
}

function includes(ranges: readonly PortRange[], port: number): boolean {
  return ranges.some(({ first, last }) => first <= port && port <= last);
}
