import { DriverError } from '../core/error.js';
import { type ArchiveFile, type ArchiveSource, describeSource, readArchive } from './archive.js';
import { type Blob, DOCUMENT_BYTES } from './content.js';
import { writeBlob } from './content-write.js';
import { parseJson } from './document.js';
import type { Leased } from './lease.js';

/** An archive whose files are in the content store, held by nothing but the lease. */
export interface IngestedArchive {
  /** For messages. */
  name: string;
  /** The documents that say what the rest is, parsed, by their path. */
  documents: ReadonlyMap<string, unknown>;
  /** The sizes of all that it brought, by digest. */
  blobs: Map<string, number>;
  /** The blob that a path stands for. Follows links. */
  find(path: string): Blob | undefined;
}

/** The documents by which an archive is understood. They may come last, after all that they speak of. */
const documentPaths = new Set(['manifest.json', 'index.json', 'oci-layout']);
/** More links in a row than any tool makes. */
const LINKS = 16;
const operation = 'read archive';

/**
 * Moves every file of an archive into the content store, each in one pass and under the digest that it turns out to
 * have. What the files are is known only at the end, from a manifest that may come last; keeping them all until then
 * in the store needs neither memory nor temporary files, and what no image refers to leaves with the lease.
 */
export async function ingestArchive(
  leased: Leased,
  source: ArchiveSource,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<IngestedArchive> {
  const name = describeSource(source);
  const documents = new Map<string, unknown>();
  const files = new Map<string, Blob>();
  const links = new Map<string, string>();
  for await (const file of readArchive(source, { signal })) {
    const subject = `${file.path} in ${name}`;
    if (file.target !== undefined) links.set(file.path, file.target);
    else if (documentPaths.has(file.path)) documents.set(file.path, parseJson(await gather(subject, file), subject));
    else files.set(file.path, await ingestFile(leased, subject, file, signal));
  }
  return {
    name,
    documents,
    blobs: new Map([...files.values()].map(({ digest, size }) => [digest, size])),
    find(path) {
      let at = path;
      for (let i = 0; i < LINKS; i += 1) at = links.get(at) ?? at;
      return files.get(at);
    },
  };
}

function ingestFile(
  leased: Leased,
  subject: string,
  { path, size, body }: ArchiveFile,
  signal: AbortSignal | undefined,
): Promise<Blob> {
  return writeBlob(leased, { data: body, subject, size, digest: parseBlobPath(subject, path) }, { signal });
}

/** `blobs/sha256/<hex>` of an OCI layout names the digest, so that a blob which is there already is not sent again. */
function parseBlobPath(subject: string, path: string): string | undefined {
  const [folder, algorithm, hex = '', ...rest] = path.split('/');
  if (folder !== 'blobs') return undefined;
  if (algorithm === 'sha256' && /^[a-f0-9]{64}$/.test(hex) && rest.length === 0) return `sha256:${hex}`;
  throw new DriverError('invalid-argument', `${subject} is not named blobs/sha256/ and 64 hex digits`, { operation });
}

async function gather(subject: string, { size, body }: ArchiveFile): Promise<Buffer> {
  if (size > DOCUMENT_BYTES) {
    const message = `${subject} has ${size} bytes, more than the ${DOCUMENT_BYTES} of a document`;
    throw new DriverError('resource-exhausted', message, { operation });
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}
