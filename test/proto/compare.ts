import { type Facts, parentOf } from './facts.js';

/** What later versions changed; the data is in since.json. */
export interface History {
  /** First version of each name that 1.6.0 did not have. Covers all that the name declares. */
  readonly since: ReadonlyMap<string, string>;
  /** What went away upstream and is not transcribed: name and first version without it. */
  readonly dropped: ReadonlyMap<string, string>;
}

/** One vendor's facts on one version. */
export interface Vendor {
  /** Goes into the messages, such as `1.7`. */
  readonly label: string;
  readonly facts: Facts;
  /** Version that this vendor ships of what declares the name; undefined when it does not ship that at all. */
  readonly versionOf: (name: string) => string | undefined;
}

export interface Comparison {
  /** Names on which both agree. */
  readonly same: string[];
  /** Names only we have, allowed as they came later than this vendor's version. */
  readonly newer: string[];
  /** Everything that contradicts the vendor, a sentence each. */
  readonly conflicts: string[];
  /** What the vendor declares in a message, enum or service of ours and we do not, a sentence each. */
  readonly omitted: string[];
}

/** Stands in since.json for what no release has yet. A vendor who has it already is no contradiction. */
export const UNRELEASED = 'unreleased';

export function compareFacts(ours: Facts, vendor: Vendor, history: History): Comparison {
  const { label, facts, versionOf } = vendor;
  const result: Comparison = { same: [], newer: [], conflicts: [], omitted: [] };
  const numbers = indexNumbers(facts);
  for (const [name, fact] of ours) {
    const version = versionOf(name);
    if (version === undefined) continue;
    const theirs = facts.get(name);
    const since = findSince(name, history.since);
    if (theirs !== undefined) {
      if (theirs.text !== fact.text) {
        result.conflicts.push(`${name}: ours ${fact.text}, vendor ${label} has ${theirs.text}`);
      } else if (since !== undefined && since !== UNRELEASED && isLater(since, version)) {
        result.conflicts.push(`${name}: since.json says ${since}, vendor ${label} has it in ${version}`);
      } else {
        result.same.push(name);
      }
      continue;
    }
    const taken = fact.number === undefined ? undefined : numbers.get(`${parentOf(name, fact)}#${fact.number}`);
    if (taken !== undefined) {
      result.conflicts.push(`${name}: ours ${fact.text}, vendor ${label} has ${facts.get(taken)?.text} as ${taken}`);
    } else if (since !== undefined && isLater(since, version)) {
      result.newer.push(name);
    } else {
      const claim = since === undefined ? '' : `, though since.json says ${since} and this is ${version}`;
      result.conflicts.push(`${name}: ours ${fact.text}, vendor ${label} has none${claim}`);
    }
  }
  for (const [name, fact] of facts) {
    const parent = parentOf(name, fact);
    if (parent === undefined || !ours.has(parent) || ours.has(name)) continue;
    const dropped = history.dropped.get(name);
    if (dropped !== undefined && isLater(dropped, versionOf(name) ?? '0')) continue;
    result.omitted.push(`${name}: ours none, vendor ${label} has ${fact.text}`);
  }
  return result;
}

/** The vendor's facts under the names that later versions gave to the same things, wherever they are mentioned. */
export function renameFacts(facts: Facts, renamed: ReadonlyMap<string, string>): Facts {
  let text = JSON.stringify([...facts]);
  for (const [from, to] of renamed) {
    text = text.replaceAll(new RegExp(`(?<![\\w.])${from.replaceAll('.', '\\.')}(?!\\w)`, 'g'), to);
  }
  return new Map(JSON.parse(text) as [string, { text: string; number?: number }][]);
}

/** The name's own entry, or that of the nearest message or service around it. */
export function findSince(name: string, since: ReadonlyMap<string, string>): string | undefined {
  for (let at = name; at !== ''; at = at.replace(/(^|[./])[^./]*$/, '')) {
    const version = since.get(at);
    if (version !== undefined) return version;
  }
  return undefined;
}

/** `1.7.24~ds1-6` is later than `1.7.0`: only the leading numbers count. */
export function isLater(version: string, than: string): boolean {
  if (version === UNRELEASED) return true;
  const [left, right] = [version, than].map((text) => /^[\d.]*/.exec(text)?.[0].split('.').map(Number) ?? []);
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}

function indexNumbers(facts: Facts): Map<string, string> {
  const numbers = new Map<string, string>();
  for (const [name, fact] of facts) {
    if (fact.number !== undefined) numbers.set(`${parentOf(name, fact)}#${fact.number}`, name);
  }
  return numbers;
}
