// An official TypeScript client against a server: lists the tools, makes the calls it is told, prints what came as JSON.
//
//     official.mjs PACKAGES GENERATION MODE http URL            < calls.json
//     official.mjs PACKAGES GENERATION MODE stdio PROGRAM ARG…  < calls.json
//
// PACKAGES is a folder with `node_modules`. GENERATION is `v1` (@modelcontextprotocol/sdk), which offers the newest revision
// that it knows, whatever MODE says, or `v2` (@modelcontextprotocol/client), where MODE is `auto` or the one revision to speak.
// `calls.json` is a list of [tool, arguments]. Where the variable TOOLGATE_LEAVE holds one such call, that one is begun instead,
// and the client closes when stdin ends, without waiting for its answer.

import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

const [packages, generation, mode, kind, ...rest] = process.argv.slice(2);
const require = createRequire(`${packages}/`);

// What the two generations name differently.
function library() {
  if (generation === 'v1') {
    return {
      ...require('@modelcontextprotocol/sdk/client/index.js'),
      ...require('@modelcontextprotocol/sdk/client/stdio.js'),
      ...require('@modelcontextprotocol/sdk/client/streamableHttp.js'),
    };
  }
  return { ...require('@modelcontextprotocol/client'), ...require('@modelcontextprotocol/client/stdio') };
}

const { Client, StdioClientTransport, StreamableHTTPClientTransport } = library();

// Revisions with a handshake are offered in it, the later ones are asked for.
function options() {
  if (generation === 'v1') return {};
  if (mode === 'auto') return { versionNegotiation: { mode } };
  if (mode < '2026') return { supportedProtocolVersions: [mode] };
  return { versionNegotiation: { mode: { pin: mode } } };
}

// Where the variable TOOLGATE_CREDENTIALS holds ID:SECRET, the client gets its tokens by them (RFC 6749 §4.4).
function credentials() {
  const [clientId, clientSecret] = (process.env.TOOLGATE_CREDENTIALS ?? '').split(':');
  if (!clientId) return undefined;
  const { ClientCredentialsProvider } = library();
  return new ClientCredentialsProvider({ clientId, clientSecret });
}

const client = new Client({ name: 'official', version: '1' }, options());
const transport =
  kind === 'http'
    ? new StreamableHTTPClientTransport(new URL(rest[0]), { authProvider: credentials() })
    : new StdioClientTransport({ command: rest[0], args: rest.slice(1), env: process.env });

// The first generation tells only the transport which revision it came to.
let revision;
const { setProtocolVersion } = transport;
transport.setProtocolVersion = (version) => {
  revision = version;
  setProtocolVersion?.call(transport, version);
};

await client.connect(transport);
if (process.env.TOOLGATE_LEAVE) {
  const [name, args] = JSON.parse(process.env.TOOLGATE_LEAVE);
  client.callTool({ name, arguments: args }).catch(() => {});
  await text(process.stdin);
  await client.close();
  process.exit();
}
const { tools } = await client.listTools();
const answers = [];
for (const [name, args] of JSON.parse(await text(process.stdin))) {
  const result = await client.callTool({ name, arguments: args });
  answers.push({
    error: result.isError === true,
    texts: result.content.map((block) => block.text),
    value: result.structuredContent ?? null,
  });
}
await client.close();
const version = client.getNegotiatedProtocolVersion?.() ?? revision;
console.log(JSON.stringify({ version, tools: tools.map((tool) => tool.name), answers }));
