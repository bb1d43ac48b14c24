/** One way to authenticate that a registry offers, from `WWW-Authenticate` (RFC 9110, 11.6.1). */
export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  scheme: string;
  parameters: Record<string, string>;
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const parameter = new RegExp(`\\s*(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))\\s*(?:,|$)`, 'y');
const schemePattern = new RegExp(`\\s*(${token})(?:\\s+|\\s*,|\\s*$)`, 'y');

/** Parses the header; what follows something that is not in the grammar is left out. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  for (let at = 0; at < header.length; ) {
    parameter.lastIndex = at;
    const pair = parameter.exec(header);
    const current = challenges.at(-1);
    if (pair !== null && current !== undefined) {
      const [, name = '', quoted, plain = ''] = pair;
      current.parameters[name.toLowerCase()] = quoted?.replace(/\\(.)/g, '$1') ?? plain;
      at = parameter.lastIndex;
      continue;
    }
    schemePattern.lastIndex = at;
    const scheme = schemePattern.exec(header);
    if (scheme === null) return challenges;
    challenges.push({ scheme: (scheme[1] ?? '').toLowerCase(), parameters: {} });
    at = schemePattern.lastIndex;
  }
  return challenges;
}
