import { posix } from 'node:path';
import { DriverError, formatValue } from '../core/error.js';
import { ContentService } from '../generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import type { Channel } from '../rpc/channel.js';
import { type Blob, readBlob } from './content.js';
import { type Descriptor, expectArray, expectRecord, expectString, parseConfigFile, parseJson } from './document.js';
import type { IngestedArchive } from './ingest.js';
import type { Leased } from './lease.js';
import { OCI_CONFIG, OCI_LAYER, OCI_MANIFEST } from './media-type.js';
import { type FoundImage, normalizeArchiveName, storeDocument } from './oci-layout.js';

interface Options {
  signal?: AbortSignal | undefined;
}

const operation = 'read archive';

/** The images of a docker-archive. It has no manifests in the registry's sense, so that one is made for each. */
export async function findDockerImages(
  leased: Leased,
  archive: IngestedArchive,
  { signal }: Options = {},
): Promise<FoundImage[]> {
  const subject = `manifest.json in ${archive.name}`;
  const items = expectArray(archive.documents.get('manifest.json'), subject);
  if (items.length === 0) throw new DriverError('invalid-argument', `${subject} names no image`, { operation });
  const images: FoundImage[] = [];
  for (const item of items) images.push(await readItem(leased, archive, expectRecord(item, subject), signal));
  return images;
}

async function readItem(
  leased: Leased,
  archive: IngestedArchive,
  item: Record<string, unknown>,
  signal: AbortSignal | undefined,
): Promise<FoundImage> {
  const subject = `manifest.json in ${archive.name}`;
  const configPath = expectString(item.Config, subject, 'Config');
  const layerPaths = expectArray(item.Layers, `Layers of ${subject}`).map((path) =>
    expectString(path, subject, 'Layers'),
  );
  const tags = expectArray(item.RepoTags ?? [], `RepoTags of ${subject}`);
  const names = tags.map((tag) => normalizeArchiveName(expectString(tag, subject, 'RepoTags'), archive.name));

  const config = findFile(archive, configPath, 'config');
  const configSubject = `${configPath} in ${archive.name}`;
  const json = parseJson(await readBlob(leased.channel, config.digest, { signal }), configSubject);
  const { diffIds } = parseConfigFile(json, configSubject);
  if (diffIds.length !== layerPaths.length) {
    const message = `${subject} has ${layerPaths.length} layers, ${configPath} has ${diffIds.length}`;
    throw new DriverError('invalid-argument', message, { operation });
  }
  const layers: Descriptor[] = [];
  for (const [i, path] of layerPaths.entries()) {
    const { digest, size } = findFile(archive, path, `layer ${i + 1}`);
    const mediaType = OCI_LAYER + (await recognizeCompression(leased.channel, digest, { signal }));
    if (mediaType === OCI_LAYER && digest !== diffIds[i]) {
      const message = `layer ${i + 1} (${path}) in ${archive.name} is ${digest}, but its config says ${diffIds[i]}`;
      throw new DriverError('data-loss', message, { operation });
    }
    layers.push({ mediaType, digest, size });
  }
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: OCI_CONFIG, digest: config.digest, size: config.size },
    layers,
  };
  const stored = await storeDocument(leased, archive, Buffer.from(JSON.stringify(manifest)), signal);
  return { names, target: { mediaType: OCI_MANIFEST, ...stored } };
}

function findFile(archive: IngestedArchive, path: string, what: string): Blob {
  const clean = posix.normalize(path);
  if (clean.startsWith('/') || clean === '..' || clean.startsWith('../')) {
    const message = `manifest.json in ${archive.name} names a ${what} that leads out of the archive: ${formatValue(path)}`;
    throw new DriverError('invalid-argument', message, { operation });
  }
  const file = archive.find(clean);
  if (file !== undefined) return file;
  throw new DriverError('data-loss', `${archive.name} is incomplete: ${what} ${formatValue(path)} is missing`, {
    operation,
  });
}

/** The suffix of a layer's media type, from its first bytes: some builders put compressed layers into these archives. */
async function recognizeCompression(channel: Channel, digest: string, { signal }: Options): Promise<string> {
  let magic = '';
  const head = channel.serverStream(ContentService.read, { digest, offset: 0n, size: 4n }, { signal });
  for await (const { data } of head) magic += data.toString('hex');
  if (magic.startsWith('1f8b')) return '+gzip';
  return magic === '28b52ffd' ? '+zstd' : '';
}
