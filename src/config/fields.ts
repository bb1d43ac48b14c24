import { layerKeys } from '../policy/fields.js';
import { boolean, type Field, list, map, oneOf, shape, text } from '../policy/schema.js';
import { providerFields } from '../provider/options.js';
import type { ContainerConfig, IsolationConfig } from './types.js';

export const PROVIDERS = ['containerd', 'container', 'docker', 'kata'] as const;

const { image, runtime, address, namespace, snapshotter, stateRoot } = providerFields;

const container: Record<keyof ContainerConfig, Field> = {
  image,
  runtime,
  address,
  namespace,
  snapshotter,
  stateRoot,
  cli: oneOf('docker', 'nerdctl'),
};

const isolation: Record<keyof IsolationConfig, Field> = {
  enabled: boolean,
  provider: oneOf(...PROVIDERS),
  containerOptions: shape(container),
  policyProfile: text(61),
  policyProfiles: map(shape(layerKeys)),
  policy: shape(layerKeys),
  dockerOptions: shape({ image, extraArgs: list(text()) }),
  kata: shape({ runtimePath: text(), image, backend: text() }),
  dockerImage: image,
  allowFallbackToHost: boolean,
};

export const isolationFields = shape(isolation);
