// A real OpenID provider for tests, over TLS on a loopback port, until its standard input ends.
//
//   node provider.mjs PORT CERTIFICATE KEY [KID]
//
// Devices are clients of it: `client_credentials`, an access token (RFC 9068) for the resource urn:landfall. The client's id
// is the token's `sub`. Prints a line when it listens.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { Provider } from 'oidc-provider';

const [port, certificate, key, kid = 'k1'] = process.argv.slice(2);
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' };
const client = (client_id) => ({
  client_id,
  client_secret: 's3cret',
  scope: 'device.register',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
});
const provider = new Provider(`https://localhost:${port}`, {
  clients: [client('sensor-1'), client('sensor-2')],
  clientDefaults: { id_token_signed_response_alg: 'ES256' }, // its only key is P-256
  jwks: { keys: [jwk] },
  scopes: ['openid', 'device.register'],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:landfall',
      getResourceServerInfo: (_context, resource) => ({
        scope: 'device.register',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});
const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, provider.callback());
server.listen(Number(port), '127.0.0.1', () => process.stdout.write('listening\n'));
process.stdin.resume().on('end', () => process.exit(0));
