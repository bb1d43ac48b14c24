/** What a registry sends its clients to for tokens: RFC 7519, signed with a certificate that the registry trusts. */
import { createSign, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

export interface TokenService {
  readonly realm: string;
  /** Query or form of each request, with the credentials that came. */
  readonly asked: { parameters: Record<string, string>; scopes: string[]; authorization: string | undefined }[];
  /** How long a token says that it is good for. */
  expiresIn: number;
  stop(): Promise<void>;
}

export const ISSUER = 'test issuer';
export const SERVICE = 'test registry';

export async function startTokenService(
  { certificate, key }: { certificate: string; key: string },
  credentials: { authorization: string; refreshToken: string },
): Promise<TokenService> {
  const server = createServer(async (incoming, outgoing) => {
    let body = '';
    for await (const chunk of incoming) body += String(chunk);
    const query = new URL(incoming.url ?? '/', 'http://localhost').searchParams;
    const parameters = new URLSearchParams([...query, ...new URLSearchParams(body)]);
    const scopes = parameters.getAll('scope').flatMap((scope) => scope.split(' '));
    const { authorization } = incoming.headers;
    service.asked.push({ parameters: Object.fromEntries(parameters), scopes, authorization });
    const isKnown =
      authorization === credentials.authorization || parameters.get('refresh_token') === credentials.refreshToken;
    if (!isKnown) return outgoing.writeHead(401).end();
    const token = signToken(scopes, { certificate, key });
    outgoing.writeHead(200).end(JSON.stringify({ token, expires_in: service.expiresIn }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const service: TokenService = {
    realm: `http://127.0.0.1:${port}/token`,
    asked: [],
    expiresIn: 300,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return service;
}

function signToken(scopes: string[], { certificate, key }: { certificate: string; key: string }): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const x5c = [new X509Certificate(readFileSync(certificate)).raw.toString('base64')];
  const access = scopes.map((scope) => {
    const [type, name, actions = ''] = scope.split(':');
    return { type, name, actions: actions.split(',') };
  });
  const claims = {
    iss: ISSUER,
    sub: 'agent',
    aud: SERVICE,
    exp: now + 300,
    nbf: now - 10,
    iat: now,
    jti: String(now),
    access,
  };
  const text = `${encode({ typ: 'JWT', alg: 'ES256', x5c })}.${encode(claims)}`;
  const signature = createSign('sha256')
    .update(text)
    .sign({ key: readFileSync(key), dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}
