import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cleanup } from '../core/cleanup.js';
import { addSuppressed, DriverError, hasCode } from '../core/error.js';
import { settle } from '../core/settle.js';
import {
  type Container,
  ContainersService,
} from '../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { LeasesService } from '../generated/github.com/containerd/containerd/api/services/leases/v1/leases.js';
import type { Mount } from '../generated/github.com/containerd/containerd/api/types/mount.js';
import { checkIdMap, describeIdMap } from '../image/id-map.js';
import type { Image } from '../image/image.js';
import { prepareRootfs, removeRootfs } from '../image/rootfs.js';
import type { SecretBinding } from '../policy/types.js';
import type { Bind } from '../spec/mounts.js';
import type { RuntimeChoice } from '../spec/runtime.js';
import type { OciSpec, OciUser } from '../spec/types.js';
import { resolveUser, type UserFiles } from '../spec/user.js';
import { mapUser } from '../spec/userns.js';
import { keepRestrictions, listOwnBinds } from './binds.js';
import { describeCreation, isLeaseOurs, isStillOurs } from './claim.js';
import type { SessionContext } from './context.js';
import { makeDirectory } from './directory.js';
import { holdSources, nameHeld } from './held.js';
import { lockName } from './id-lock.js';
import { prepareIo } from './main-io.js';
import { startMain } from './main-start.js';
import { checkMounts } from './mount-check.js';
import { connectNetwork, enforceNetwork, prepareNetwork, removeSessionFiles } from './network.js';
import { type BindRequest, pinSources } from './pins.js';
import { assertNameIsFree } from './pool/name.js';
import { buildExtension, buildLabels, EXTENSION, packSpec, type SessionRecord } from './record.js';
import { clearDead, removeStuckTask } from './remove.js';
import { hasSecretsMount, writeSecrets } from './secrets.js';
import { Session } from './session.js';
import { packShimOptions } from './shim-options.js';
import { hasDoor, makeDoor } from './supervisor/door.js';
import { createTask, describeInit } from './task.js';
import { removeLease, removeRecord } from './teardown.js';
import { readUserFiles } from './user-files.js';
import { noteUse, takeVolumes } from './volume-directory.js';

/** How long the daemon's garbage collector keeps its hands off what a crashed creation left, in ms. */
const LEASE_MS = 3_600_000;
/** For how long a dead session of the same name is cleared away, in ms. */
const CLEAR_MS = 30_000;
const PAUSE_MS = 25;

export interface CreateRequest {
  record: SessionRecord;
  image: Image;
  /** Name of the committed snapshot that its root file system goes on from. Defaults to the image's layers. */
  base?: string;
  /** `name`, `uid`, `uid:gid` or `name:group`, as the image's files have it. */
  user: string;
  buildSpec: (user: OciUser, binds: Bind[]) => OciSpec;
  /** Of the host's files. */
  binds: BindRequest[];
  /** By name. */
  volumes: { name: string; target: string; readOnly: boolean }[];
  /** Those that are files. */
  secrets: SecretBinding[];
  /** Values of all secrets, which are to be told to nobody. */
  known: string[];
  runtime: RuntimeChoice;
  signal?: AbortSignal | undefined;
}

/** Creates a session as one transaction: it runs when this resolves, and nothing of it is left when this rejects. */
export async function createSession(context: SessionContext, request: CreateRequest): Promise<Session> {
  const { id, policyHash, asked } = request.record;
  const { command } = asked;
  const entry = { action: 'create' as const, sessionId: id, policyHash, ...(command && { command: [...command] }) };
  return context.audit.run(
    entry,
    () => clearAndCreate(context, request),
    () => request.known,
  );
}

async function clearAndCreate(context: SessionContext, request: CreateRequest): Promise<Session> {
  const { id, name = id } = request.record;
  for (const until = Date.now() + CLEAR_MS; ; await sleep(PAUSE_MS)) {
    try {
      return await attempt(context, request);
    } catch (error) {
      if (!hasCode(error, 'already-exists')) throw error;
      // A session that nobody answers for any more does not keep its name; several may be at clearing it.
      if (Date.now() < until && (await clearDead(context, id, request.record.name))) continue;
      throw new DriverError('already-exists', `there is a session ${name} already`, {
        operation: 'create',
        cause: error,
      });
    }
  }
}

async function attempt(context: SessionContext, request: CreateRequest): Promise<Session> {
  const undo = new Cleanup();
  try {
    return await conduct(context, request, undo);
  } catch (error) {
    const failure = await undo.run();
    if (failure !== undefined) context.unfinished.set(request.record.id, undo);
    throw addSuppressed(error, failure === undefined ? [] : [failure.error]);
  }
}

async function conduct(context: SessionContext, request: CreateRequest, undo: Cleanup): Promise<Session> {
  const { image, base, user, buildSpec, binds, secrets, signal } = request;
  const { channel, snapshotter } = context;
  await using pins = await pinSources(context, binds);
  const record = nameHeld(context, request.record, pins.list);
  const { id } = record;
  const { userns } = record.asked.policy;
  const leased = channel.withLease(id);
  const removeIf = (isOurs: typeof isStillOurs, remove: () => Promise<void>) =>
    lockName(context, record, async () => {
      if (await isOurs(channel, record)) await remove();
    });
  const lease = () =>
    undo.acquire(
      'lease',
      () =>
        channel.unary(LeasesService.create, {
          id,
          labels: {
            ...describeCreation(record),
            'containerd.io/gc.expire': new Date(Date.now() + LEASE_MS).toISOString(),
          },
        }),
      () => removeIf(isLeaseOurs, () => removeLease(channel, id)),
    );
  const isRandom = record.name === undefined;
  // What has a random id is no one else's, so that nothing need wait for the proof that it is ours.
  const options = { isIndependent: isRandom };
  const prepare = () =>
    undo.acquire(
      'snapshot',
      () => prepareRootfs(leased, { image, base, key: id, snapshotter, labels: describeIdMap(userns), signal }),
      () => removeIf(isStillOurs, () => removeRootfs(channel, { key: id, snapshotter })),
      options,
    );
  const directory = join(context.directory, id);
  const hasVolumes = record.volumes !== undefined;
  let connecting: Promise<void> | undefined;
  const recordSession = async (files: UserFiles) => {
    const removeFiles = async () => {
      // A plugin under way may yet make what is to be removed.
      await connecting?.catch(() => undefined);
      await removeIf(isStillOurs, () => removeSessionFiles(context, id));
    };
    // Of an earlier session, which may be all that is left: what it had of containerd is collected without its record.
    if (!isRandom && existsSync(directory)) await removeSessionFiles(context, id);
    undo.defer('directory', removeFiles, options);
    await makeDirectory(directory);
    // Goes with the directory, as does what it is plugged into, by far the longest beside the task.
    await prepareNetwork(context, record);
    checkAborted(signal);
    if (userns === undefined) connecting = connectNetwork(context, record);
    // Its failure is told once the rest has ended.
    connecting?.catch(() => undefined);
    const owner = resolveUser(user, files);
    if (hasSecretsMount(record, secrets)) await writeSecrets(directory, secrets, mapUser(owner, userns));
    if (hasDoor(record)) makeDoor(directory, mapUser(owner, userns));
    const own = listOwnBinds(context, request);
    const spec = buildSpec(owner, keepRestrictions([...pins.list, ...own], userns));
    undo.defer('use of volumes', () => noteUse(context, record.volumes), options);
    const recording = undo.acquire(
      'container',
      () =>
        leased.unary(ContainersService.create, {
          container: describeContainer({ ...request, record }, { spec, snapshotter }),
        }),
      () => removeIf(isStillOurs, () => removeRecord(channel, id)),
      options,
    );
    // Volumes are made when the record is there.
    await settle([recording, hasVolumes ? Promise.resolve() : pins.addOwn(own)]);
    return { owner, own, spec };
  };
  const known = isRandom && base === undefined ? context.userFiles.get(image.chainId) : undefined;
  const begin = async () => {
    await lease();
    checkAborted(signal);
    await assertNameIsFree(channel, record);
    if (known !== undefined) return settle([prepare(), recordSession(known)]);
    // After the snapshot, which shows that no one else has the id: the directory of a name may be a live session's.
    const made = await prepare();
    return [made, await recordSession(await findUserFiles(context, request, made))] as const;
  };
  // From the lease to the record, by both of which others see that it is there.
  const [rootfs, { owner, own, spec }] = await lockName(context, record, begin);

  checkIdMap(rootfs, userns);
  await takeVolumes(context, record.volumes ?? [], mapUser(owner, userns));
  if (hasVolumes) await pins.addOwn(own);
  await using _held = await holdSources(context, record, pins.list);
  checkAborted(signal);
  const io = await prepareIo(directory, record);
  let seenPid: number | undefined;
  const creating = undo.acquire(
    'task',
    async () => {
      seenPid = await createTask(context, record, rootfs, io);
      return seenPid;
    },
    () => removeIf(isStillOurs, () => removeStuckTask(context, record, seenPid)),
  );
  // Of the runtime's own making, see nameNetns.
  connecting ??= creating.then((pid) => connectNetwork(context, record, pid));
  const enforcing = connecting.then(() => enforceNetwork(context, record));
  // Pipes are made while containerd works; the first exec finds them ready. A supervisor's needs none.
  const preparing = record.asked.executor === 'supervisor' ? Promise.resolve() : context.fifos.prepare();
  const [initPid] = await settle([creating, enforcing, preparing]);

  await checkMounts(context, { pid: initPid, spec, pins: pins.list, record });
  checkAborted(signal);
  // The container holds its snapshot by itself from now on.
  const init = describeInit(record, initPid);
  await settle([startMain(channel, { record, directory, init, spec }), removeLease(channel, id)]);
  undo.forget('lease');
  const session = new Session({ context, record, spec, init, undo });
  // One that waits in a pool is nobody's session yet.
  if (record.pool === undefined) context.sessions.add(session);
  return session;
}

async function findUserFiles(
  context: SessionContext,
  { image, base }: CreateRequest,
  rootfs: Mount[],
): Promise<UserFiles> {
  const files = await readUserFiles(rootfs);
  // A fork's layers are its own.
  if (base === undefined) context.userFiles.set(image.chainId, files);
  return files;
}

function describeContainer(
  { record, image, runtime: { name, options } }: CreateRequest,
  { spec, snapshotter }: { spec: OciSpec; snapshotter: string },
): Container {
  return {
    id: record.id,
    labels: buildLabels(record),
    image: image.name,
    runtime: { name, options: options && packShimOptions(options) },
    spec: packSpec(spec, record),
    snapshotter,
    snapshotKey: record.id,
    createdAt: undefined,
    updatedAt: undefined,
    extensions: { [EXTENSION]: buildExtension(record) },
    sandbox: '',
  };
}

function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new DriverError('canceled', 'creation of the session was aborted', { cause: signal.reason });
}
