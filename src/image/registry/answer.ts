import { DriverError, type ErrorCode } from '../../core/error.js';
import { expectRecord, parseJson } from '../document.js';
import { DOCKER_SCHEMA_1 } from '../media-type.js';
import { describeUrl } from './endpoint.js';
import type { HttpAnswer, HttpClient } from './http.js';
import { parseRetryAfter, TransientFailure } from './retry.js';

const REFUSAL_BYTES = 64 * 1024;
const transient = new Set([408, 429, 500, 502, 503, 504]);
const codes: Record<number, ErrorCode> = {
  400: 'invalid-argument',
  401: 'permission-denied',
  403: 'permission-denied',
  404: 'not-found',
  405: 'unimplemented',
  408: 'deadline-exceeded',
  413: 'resource-exhausted',
  416: 'out-of-range',
  504: 'deadline-exceeded',
};
/** Of the distribution specification. A registry's own words are not repeated: they could echo what it was shown. */
const reasons = new Set(
  `BLOB_UNKNOWN BLOB_UPLOAD_INVALID BLOB_UPLOAD_UNKNOWN DIGEST_INVALID MANIFEST_BLOB_UNKNOWN MANIFEST_INVALID
  MANIFEST_UNKNOWN MANIFEST_UNVERIFIED NAME_INVALID NAME_UNKNOWN SIZE_INVALID UNAUTHORIZED DENIED UNSUPPORTED
  TOOMANYREQUESTS UNAVAILABLE UNKNOWN`.split(/\s+/),
);

/** Throws for a status outside `accepted`, a TransientFailure for one that may pass. `what` names what was asked for. */
export async function checkStatus(
  answer: HttpAnswer,
  what: string,
  accepted: readonly number[] = [200],
): Promise<void> {
  const { status, headers, url } = answer;
  if (accepted.includes(status)) return;
  const reason = await readReason(answer);
  const code = codes[status] ?? (status >= 500 || status === 429 ? 'unavailable' : 'unknown');
  const text = `${what}: ${url.host} answers ${status}${reason}`;
  const failure = new DriverError(code, text, { operation: 'ask registry' });
  if (!transient.has(status)) throw failure;
  throw new TransientFailure(failure, parseRetryAfter(headers['retry-after']));
}

async function readReason({ body }: HttpAnswer): Promise<string> {
  let text = '';
  try {
    for await (const chunk of body) {
      text += Buffer.from(chunk as Uint8Array).toString('utf8');
      if (text.length > REFUSAL_BYTES) break;
    }
    const { errors } = JSON.parse(text) as { errors: { code: unknown }[] };
    const found = errors.map(({ code }) => code).filter((code) => typeof code === 'string' && reasons.has(code));
    return found.length === 0 ? '' : ` (${found.join(', ')})`;
  } catch {
    // The status says enough; many refusals have no body of this form.
    return '';
  }
}

/** Reads an answer of at most `limit` bytes into memory. */
export async function readAnswer(
  http: HttpClient,
  answer: HttpAnswer,
  { limit, signal }: { limit: number; signal: AbortSignal | undefined },
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of http.readBody(answer, signal)) {
    size += chunk.length;
    if (size > limit) {
      const message = `${describeUrl(answer.url)} has more than the ${limit} bytes of a document`;
      throw new DriverError('resource-exhausted', message, { operation: 'ask registry' });
    }
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks, size);
}

/** Where the body of an answer lies in the whole, and how long that is, where the answer says so. */
export function readExtent({ status, headers, url }: HttpAnswer): { start: number; total: number | undefined } {
  if (status !== 206) {
    const length = headers['content-length'];
    return { start: 0, total: length === undefined ? undefined : Number(length) };
  }
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers['content-range'] ?? '') ?? [];
  if (start === undefined) {
    throw new DriverError('data-loss', `${describeUrl(url)} is a part that does not say which`, {
      operation: 'ask registry',
    });
  }
  return { start: Number(start), total: total === '*' ? undefined : Number(total) };
}

/**
 * The type of a manifest: the header's, which the document must not contradict, or the document's own. One that is a
 * manifest and an index at once means different images to different readers (CVE-2021-41190).
 */
export function readMediaType({ headers }: HttpAnswer, data: Uint8Array, subject: string): string {
  const document = expectRecord(parseJson(data, subject), subject);
  const refuse = (message: string) => new DriverError('invalid-argument', message, { operation: 'ask registry' });
  if ('manifests' in document && ('layers' in document || 'config' in document)) {
    throw refuse(`${subject} is a manifest and an index at once`);
  }
  const [header = ''] = (headers['content-type'] ?? '').split(';');
  const own = typeof document.mediaType === 'string' ? document.mediaType : undefined;
  const said = header.startsWith('application/vnd.') ? header.trim() : undefined;
  if (own !== undefined && said !== undefined && own !== said) {
    throw refuse(`${subject} is of type "${said}" to its registry and of type "${own}" to itself`);
  }
  // Of before there were types; to be refused as what it is.
  const older = document.schemaVersion === 1 ? DOCKER_SCHEMA_1 : undefined;
  const type = said ?? own ?? older;
  if (type !== undefined) return type;
  throw refuse(`${subject} has no media type`);
}
