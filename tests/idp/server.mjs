// A real identity provider on loopback, of the package oidc-provider, with the clients `robot` and `program` and a new
// signing key.
//
//     server.mjs PACKAGES PORT
//
// PACKAGES is a folder with `node_modules`; PORT 0 is any free one. Prints its issuer identifier in one line.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const [packages, port] = process.argv.slice(2);
const { Provider } = await import(createRequire(`${packages}/`).resolve('oidc-provider'));

const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const key = { ...pair.privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: `key-${process.pid}` };

const client = (name, how) => ({
  client_id: name,
  client_secret: `${name}-of-tests`,
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
  token_endpoint_auth_method: how,
  id_token_signed_response_alg: 'ES256',
});

let answer;
const server = createServer((request, response) => answer(request, response));
server.listen(Number(port), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    jwks: { keys: [key] },
    clients: [
      client('robot', 'client_secret_post'),
      client('program', 'client_secret_basic'),
    ],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, resource) => ({
          scope: 'tools:read tools:write',
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 300,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  answer = provider.callback();
  console.log(issuer);
});
