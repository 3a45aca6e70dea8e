// Sigstore's own libraries for Node: makes and checks bundles. Which, it is told as JSON on stdin; what came of it, it
// tells as JSON on stdout. Certificate authority, log and timestamp authority are Sigstore's mocks, on loopback.
// usage: node sigstore.mjs PACKAGES
import { createHash, generateKeyPairSync, createPublicKey, createPrivateKey, sign as signBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(`${process.argv[2]}/package.json`);
const { bundleFromJSON, bundleToJSON, toMessageSignatureBundle } = require('@sigstore/bundle');
const { DSSEBundleBuilder, FulcioSigner, MessageSignatureBundleBuilder, RekorWitness, TSAWitness } = require('@sigstore/sign');
const { toSignedEntity, toTrustMaterial, Verifier } = require('@sigstore/verify');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const mock = require('@sigstore/mock');

const sha256 = (bytes, form) => createHash('sha256').update(bytes).digest(form);
const asked = JSON.parse(readFileSync(0, 'utf8'));
const nothing = { mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1' };

// What is signed: a statement about a component, or its bytes.
const artifact = asked.statement
  ? { data: Buffer.from(JSON.stringify(asked.statement)), type: 'application/vnd.in-toto+json' }
  : asked.component && { data: readFileSync(asked.component) };

const answers = {
  // A bundle by a key that is kept: P-256, PKCS#8 in PEM.
  async sign() {
    const key = createPrivateKey(readFileSync(asked.key));
    const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
    const signer = {
      sign: async (data) => ({
        signature: signBytes('sha256', data, key),
        key: { $case: 'publicKey', publicKey: createPublicKey(key).export({ type: 'spki', format: 'pem' }), hint: sha256(spki, 'hex') },
      }),
    };
    return { bundle: bundleToJSON(await new DSSEBundleBuilder({ signer, witnesses: [] }).create(artifact)) };
  },

  // A bundle by a certificate for an hour's key, and the root that it leads to.
  async keyless() {
    const services = await start();
    const claims = { iss: asked.issuer, sub: asked.subject, aud: 'sigstore' };
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const token = `${part({ alg: 'none' })}.${part(claims)}.x`;
    const options = {
      signer: new FulcioSigner({ fulcioBaseURL: services.url, identityProvider: { getToken: async () => token } }),
      witnesses: [new RekorWitness({ rekorBaseURL: services.url })],
    };
    if (asked.timestamp) options.witnesses.push(new TSAWitness({ tsaBaseURL: services.url }));
    const Builder = asked.statement ? DSSEBundleBuilder : MessageSignatureBundleBuilder;
    let bundle = await new Builder(options).create(artifact);
    if (!asked.statement) bundle = withOneCertificate(bundle);
    services.stop();
    return { bundle: bundleToJSON(bundle), trustedRoot: services.trustedRoot };
  },

  // Whether it verifies: by a key that is kept, or by an identity and a root.
  async verify() {
    const bundle = bundleFromJSON(asked.bundle);
    const root = TrustedRoot.fromJSON(asked.trustedRoot ?? nothing);
    const kept = asked.key && createPublicKey(readFileSync(asked.key)).export({ type: 'spki', format: 'der' });
    const keys = kept && { [sha256(kept, 'hex')]: { rawBytes: kept, keyDetails: 'PKIX_ECDSA_P256_SHA_256' } };
    const none = { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 };
    const verifier = new Verifier(toTrustMaterial(root, keys), kept ? none : {});
    const policy = asked.subject && { subjectAlternativeName: asked.subject, extensions: { issuer: asked.issuer } };
    try {
      verifier.verify(toSignedEntity(bundle, asked.statement ? undefined : artifact?.data), policy);
    } catch (error) {
      return { verified: false, why: error.message };
    }
    const payload = bundle.content.$case === 'dsseEnvelope' && JSON.parse(bundle.content.dsseEnvelope.payload);
    return { verified: true, statement: payload };
  },
};

// The library makes bundles of version 0.2 of signatures over bytes; other tools make them of 0.3.
function withOneCertificate(bundle) {
  const { content, verificationMaterial: material } = bundle;
  const newer = toMessageSignatureBundle({
    digest: content.messageSignature.messageDigest.digest,
    signature: content.messageSignature.signature,
    certificate: material.content.x509CertificateChain.certificates[0].rawBytes,
    certificateChain: false,
  });
  newer.verificationMaterial.tlogEntries = material.tlogEntries;
  newer.verificationMaterial.timestampVerificationData = material.timestampVerificationData;
  return newer;
}

async function start() {
  const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ctlog = await mock.initializeCTLog(pair());
  // Fractions of a second are not written as DER wants them. It is set below, when everything else is there.
  const clock = new Date();
  const ca = await mock.initializeCA(pair(), ctlog, clock);
  const tlog = await mock.initializeTLog('http://127.0.0.1', pair());
  const tsa = await mock.initializeTSA(pair(), clock);
  clock.setTime(Math.ceil(Date.now() / 1000) * 1000);
  await new Promise((reached) => setTimeout(reached, clock.getTime() - Date.now() + 20));
  const rekor = mock.rekorHandler({ log: (proposed) => tlog.log(asLogged(proposed)) });
  const handlers = [mock.fulcioHandler(ca), rekor, mock.tsaHandler(tsa)];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const handler = handlers.find((one) => one.path === request.url);
    const answer = await handler.fn(Buffer.concat(chunks).toString());
    response.writeHead(answer.statusCode, { 'Content-Type': answer.contentType ?? 'text/plain' }).end(answer.response);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const validFor = { start: new Date(Date.now() - 60_000).toISOString() };
  const log = (publicKey) => ({
    baseUrl: 'http://127.0.0.1',
    hashAlgorithm: 'SHA2_256',
    publicKey: { rawBytes: publicKey.toString('base64'), keyDetails: 'PKIX_ECDSA_P256_SHA_256', validFor },
    logId: { keyId: sha256(publicKey, 'base64') },
  });
  const chain = (...certificates) => ({
    subject: { organization: 'sigstore.mock', commonName: 'sigstore' },
    uri: 'http://127.0.0.1',
    certChain: { certificates: certificates.map((one) => ({ rawBytes: Buffer.from(one).toString('base64') })) },
    validFor,
  });
  const trustedRoot = {
    ...nothing,
    tlogs: [log(tlog.publicKey)],
    certificateAuthorities: [chain(ca.rootCertificate)],
    ctlogs: [log(ctlog.publicKey)],
    timestampAuthorities: [chain(tsa.intCertificate, tsa.rootCertificate)],
  };
  return { url: `http://127.0.0.1:${server.address().port}`, trustedRoot, stop: () => server.close() };
}

// A log keeps of an envelope its hashes and signatures; the mock keeps what it was sent.
function asLogged(proposed) {
  if (proposed.kind !== 'dsse') return proposed;
  const { envelope, verifiers } = proposed.spec.proposedContent;
  const { payload, signatures } = JSON.parse(envelope);
  return {
    apiVersion: proposed.apiVersion,
    kind: proposed.kind,
    spec: {
      envelopeHash: { algorithm: 'sha256', value: sha256(envelope, 'hex') },
      payloadHash: { algorithm: 'sha256', value: sha256(Buffer.from(payload, 'base64'), 'hex') },
      signatures: signatures.map(({ sig }) => ({ signature: sig, verifier: verifiers[0] })),
    },
  };
}

process.stdout.write(JSON.stringify(await answers[asked.do]()));
