// Registers one device with the unmodified SDK and prints what it was given, or its error, as one line of JSON.
//
//   node --require ./redirect.cjs register.cjs HOST SCOPE ID CERTIFICATE KEY [PAYLOAD]
//   node --require ./redirect.cjs register.cjs HOST SCOPE ID - SYMMETRIC-KEY [PAYLOAD]
//
// HOST is the name in the server's certificate. NODE_EXTRA_CA_CERTS names the CA that the server is trusted by, and
// LANDFALL_PORT the port to which redirect.cjs leads the SDK's fixed port 443.
'use strict';

const { readFileSync } = require('node:fs');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Http } = require('azure-iot-provisioning-device-http');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
const { X509Security } = require('azure-iot-security-x509');

const [host, scope, id, certificate, key, payload] = process.argv.slice(2);
const security =
  certificate === '-'
    ? new SymmetricKeySecurityClient(id, key)
    : new X509Security(id, { cert: readFileSync(certificate, 'utf8'), key: readFileSync(key, 'utf8') });
const client = ProvisioningDeviceClient.create(host, scope, new Http(), security);
if (payload) client.setProvisioningPayload(JSON.parse(payload));

client.register((error, result) => {
  const answer = error ? { error: error.name, message: error.message, result: error.result } : { result };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
});
