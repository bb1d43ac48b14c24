import type { Image } from '../image/image.js';
import { normalizeReference } from '../image/reference.js';
import type { Channel } from '../rpc/channel.js';
import { listOwnBinds } from '../session/binds.js';
import { nameStateDirectory } from '../session/context.js';
import type { OciUser } from '../spec/types.js';
import { resolveUser } from '../spec/user.js';
import type { ResolvedOptions } from './options.js';
import type { PreviewSource } from './preview.js';

/** Where there is neither containerd nor Linux: the image says nothing, and sources of mounts are taken as they are. */
export function assumeForPreview(
  channel: Channel,
  { snapshotter, stateRoot, volumeRoot }: Pick<ResolvedOptions, 'snapshotter' | 'stateRoot' | 'volumeRoot'>,
): PreviewSource {
  const directory = nameStateDirectory(stateRoot, channel);
  const context = { channel, snapshotter, owner: '', directory, volumes: nameStateDirectory(volumeRoot, channel) };
  return {
    context,
    uuid: '',
    assumed: `this is ${process.platform}: an ordinary Linux, an image that says nothing, and the sources of mounts`,
    getImage: async (reference) => assumeImage(normalizeReference(reference)),
    checkNetwork: async () => undefined,
    buildSpec: async (request) => {
      const { binds, user, buildSpec } = request;
      const asked = binds.map(({ path: source, target, readOnly }) => ({
        source,
        target,
        readOnly,
        hasSubmounts: false,
      }));
      return buildSpec(assumeUser(user), [...asked, ...listOwnBinds(context, request)]);
    },
  };
}

function assumeImage(name: string): Image {
  const absent = { mediaType: '', digest: '', size: 0 };
  return {
    name,
    target: absent,
    manifest: absent,
    platform: { os: 'linux' },
    config: {},
    configDigest: '',
    layers: [],
    diffIds: [],
    chainId: '',
  };
}

/** A name stands for the first ordinary user, as an image's files would have it. */
function assumeUser(text: string): OciUser {
  const [user = '', group] = text.split(':');
  const ids = (name: string) => (name === 'root' ? 0 : 1000);
  const passwd = `${user}:x:${ids(user)}:${ids(user)}::/:`;
  return resolveUser(text, { passwd, group: group === undefined ? '' : `${group}:x:${ids(group)}:` });
}
