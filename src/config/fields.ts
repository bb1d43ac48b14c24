import { layerKeys } from '../policy/fields.js';
import { boolean, type Field, list, map, oneOf, shape, text } from '../policy/schema.js';
import { providerFields } from '../provider/options.js';
import type { ContainerConfig, IsolationConfig } from './types.js';

export const PROVIDERS = ['containerd', 'container', 'docker', 'kata'] as const;

// Those of a provider that a file can carry.
const { audit: _audit, hostEnv: _hostEnv, ...carried } = providerFields;
const { image } = carried;

const container: Record<keyof ContainerConfig, Field> = {
  ...carried,
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
