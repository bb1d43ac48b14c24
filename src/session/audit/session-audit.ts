import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ignoreAbsent } from '../../core/absent.js';
import type { Denial } from '../../network/allow/denial.js';
import type { OciSpec } from '../../spec/types.js';
import type { SessionContext } from '../context.js';
import type { SessionRecord } from '../record.js';
import { nameSecrets } from '../secrets.js';
import { type AuditEntry, describeFailure } from './auditor.js';

type Own = Omit<AuditEntry, 'sessionId' | 'policyHash'>;

/** Tells of what happens to one session. */
export class SessionAudit {
  readonly #context: Pick<SessionContext, 'audit' | 'directory'>;
  readonly #read: () => { record: SessionRecord; spec: OciSpec };
  #secrets: Promise<string[]> | undefined;

  constructor(
    context: Pick<SessionContext, 'audit' | 'directory'>,
    read: () => { record: SessionRecord; spec: OciSpec },
  ) {
    this.#context = context;
    this.#read = read;
  }

  run<T>(entry: Own, act: () => Promise<T>): Promise<T> {
    return this.#context.audit.run(this.#complete(entry), act, () => this.#listSecrets());
  }

  /** Of what ends something: told afterwards, with what it has come to. */
  async after<T>(entry: Own, act: () => Promise<T>, describe: (result: T) => Partial<Own> = () => ({})): Promise<T> {
    try {
      const result = await act();
      await this.tell({ ...entry, ...describe(result) });
      return result;
    } catch (error) {
      await this.#context.audit.tell(this.#complete(entry), describeFailure(error), () => this.#listSecrets());
      throw error;
    }
  }

  async tell(entry: Own): Promise<void> {
    await this.#context.audit.tell(this.#complete(entry), { outcome: 'done' }, () => this.#listSecrets());
  }

  /** Of what its allowlist has refused. */
  async deny(denied: Denial): Promise<void> {
    const entry = this.#complete({ action: 'reach', denied });
    await this.#context.audit.tell(entry, { outcome: 'denied' }, () => this.#listSecrets());
  }

  #complete(entry: Own): AuditEntry {
    const { id, policyHash } = this.#read().record;
    return { ...entry, sessionId: id, policyHash };
  }

  /** Whoever created the session: files are with its directory, variables with its document. Neither changes once someone has it. */
  #listSecrets(): Promise<string[]> {
    this.#secrets ??= this.#readSecrets().catch((error: unknown) => {
      this.#secrets = undefined;
      throw error;
    });
    return this.#secrets;
  }

  async #readSecrets(): Promise<string[]> {
    const { record, spec } = this.#read();
    const { asked, id } = record;
    const directory = nameSecrets(join(this.#context.directory, id));
    const values: string[] = [];
    for (const { name, as = 'file' } of asked.policy.secrets) {
      const variable = spec.process.env.find((entry) => entry.startsWith(`${name}=`));
      if (as === 'env') values.push(variable?.slice(name.length + 1) ?? '');
      // Nothing when the session is destroyed: what is told of that has no text of its own.
      else values.push((await readFile(join(directory, name), 'utf8').catch(ignoreAbsent)) ?? '');
    }
    return values;
  }
}
