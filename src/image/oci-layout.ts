import { DriverError, formatValue, hasCode } from '../core/error.js';
import { writeBlob, yieldOnce } from './content-write.js';
import { type Descriptor, expectRecord, parseIndex, pickBlob, type TypedBlob } from './document.js';
import type { IngestedArchive } from './ingest.js';
import type { Leased } from './lease.js';
import { OCI_INDEX } from './media-type.js';
import { normalizeReference } from './reference.js';

/** One image of an archive: what it is, and the canonical names that the archive gives it. */
export interface FoundImage {
  names: string[];
  target: TypedBlob;
}

/** Annotations that name an image: containerd's holds the whole name, the specification's what the builder liked. */
export const CONTAINERD_NAME = 'io.containerd.image.name';
export const OCI_NAME = 'org.opencontainers.image.ref.name';

/** The images of an OCI layout. Manifests with the same name, or all without one, are one image's platforms. */
export async function findOciImages(
  leased: Leased,
  archive: IngestedArchive,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<FoundImage[]> {
  const layout = expectRecord(archive.documents.get('oci-layout'), `oci-layout in ${archive.name}`);
  if (layout.imageLayoutVersion !== '1.0.0') {
    const version = formatValue(layout.imageLayoutVersion);
    throw refuse(`${archive.name} is an OCI layout of version ${version}, not "1.0.0"`);
  }
  if (!archive.documents.has('index.json')) throw refuse(`${archive.name} is an OCI layout without index.json`);
  const { manifests } = parseIndex(archive.documents.get('index.json'), `index.json in ${archive.name}`);
  if (manifests.length === 0) throw refuse(`index.json in ${archive.name} names no image`);
  const groups = new Map<string | undefined, Descriptor[]>();
  for (const manifest of manifests) {
    const name = readName(manifest, archive.name);
    groups.set(name, [...(groups.get(name) ?? []), manifest]);
  }
  const images: FoundImage[] = [];
  for (const [name, group] of groups) {
    const [only, ...more] = group;
    const target =
      only !== undefined && more.length === 0 ? pickBlob(only) : await joinPlatforms(leased, archive, group, signal);
    images.push({ names: name === undefined ? [] : [name], target });
  }
  return images;
}

/** The specification leaves the meaning of the name open; one that is only a tag or only a word names nothing. */
function readName({ annotations = {} }: Descriptor, archive: string): string | undefined {
  const name = annotations[CONTAINERD_NAME] ?? annotations[OCI_NAME];
  if (name === undefined || !/[/:@]/.test(name)) return undefined;
  return normalizeArchiveName(name, archive);
}

/** As `normalizeReference`, but the fault is the archive's. */
export function normalizeArchiveName(name: string, archive: string): string {
  try {
    return normalizeReference(name);
  } catch (cause) {
    if (!hasCode(cause, 'invalid-argument')) throw cause;
    throw new DriverError('invalid-argument', `${archive} names an image badly: ${cause.message}`, {
      operation,
      cause,
    });
  }
}

async function joinPlatforms(
  leased: Leased,
  archive: IngestedArchive,
  manifests: Descriptor[],
  signal: AbortSignal | undefined,
): Promise<TypedBlob> {
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
  return { mediaType: OCI_INDEX, ...(await storeDocument(leased, archive, index, signal)) };
}

/** Adds a document of our own making to what the archive brought. */
export async function storeDocument(
  leased: Leased,
  { name, blobs }: IngestedArchive,
  document: Buffer,
  signal: AbortSignal | undefined,
): Promise<{ digest: string; size: number }> {
  const subject = `document made for ${name}`;
  const blob = await writeBlob(leased, { data: yieldOnce(document), subject, size: document.length }, { signal });
  blobs.set(blob.digest, blob.size);
  return blob;
}

const operation = 'read archive';

function refuse(message: string): DriverError {
  return new DriverError('invalid-argument', message, { operation });
}
