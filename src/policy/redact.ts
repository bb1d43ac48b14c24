import { isRecord } from './rule.js';

/** A copy in which every text that holds one of the secrets has it replaced, keys of objects included. */
export function redact<T>(value: T, secrets: readonly string[]): T {
  // The longest first: one may be part of another.
  const ordered = secrets.filter((secret) => secret !== '').sort((one, other) => other.length - one.length);
  return replace(value, ordered) as T;
}

function replace(value: unknown, secrets: readonly string[]): unknown {
  if (typeof value === 'string') return secrets.reduce((text, secret) => text.replaceAll(secret, '[redacted]'), value);
  if (Array.isArray(value)) return value.map((item) => replace(item, secrets));
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  const entries = Object.entries(value).map(([key, item]) => [replace(key, secrets), replace(item, secrets)]);
  return Object.fromEntries(entries);
}

/** Values of secrets in a policy that nobody has checked yet. */
export function listGivenSecrets(input: unknown): string[] {
  const { secrets } = isRecord(input) ? input : {};
  const values = (Array.isArray(secrets) ? secrets : []).map((secret) => (isRecord(secret) ? secret.value : undefined));
  return values.filter((value) => typeof value === 'string');
}
