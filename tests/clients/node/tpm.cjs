// The unmodified SDK with a TPM on a socket (swtpm), as lines of JSON.
//
//   node tpm.cjs PORT key                                           its endorsement key, base64
//   node --require ./redirect.cjs tpm.cjs PORT register HOST SCOPE ID   registers, and signs with the key for its hub
//
// HOST is the name in the server's certificate. NODE_EXTRA_CA_CERTS names the CA that the server is trusted by, and
// LANDFALL_PORT the port to which redirect.cjs leads the SDK's fixed port 443.
'use strict';

const net = require('node:net');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Http } = require('azure-iot-provisioning-device-http');
const { TpmSecurityClient } = require('azure-iot-security-tpm');
const { Tpm } = require('tss.js');

const [port, what, host, scope, id] = process.argv.slice(2);

// A TPM's plain byte stream: a command, and then its response, whose bytes 2 to 5 are its length.
class Socket {
  connect(continuation) {
    this.socket = net.connect(Number(port), '127.0.0.1', () => continuation(null));
    this.received = Buffer.alloc(0);
    this.socket.on('data', (data) => {
      this.received = Buffer.concat([this.received, data]);
      if (this.received.length < 6 || this.received.length < this.received.readUInt32BE(2)) return;
      const response = this.received;
      this.received = Buffer.alloc(0);
      this.continuation(null, response);
    });
    return null;
  }
  dispatchCommand(command, continuation) {
    this.continuation = continuation;
    this.socket.write(command);
  }
  close() {
    this.socket.end();
  }
}

const tpm = new Tpm(false);
tpm.device = new Socket();
const security = new TpmSecurityClient(id, tpm);
const say = (answer) => {
  process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0));
};

if (what === 'key') {
  security.getEndorsementKey((error, key) => say(error ? { error: error.message } : { key: key.toString('base64') }));
} else {
  ProvisioningDeviceClient.create(host, scope, new Http(), security).register((error, result) => {
    if (error) return say({ error: error.name, message: error.message });
    // With the key that came wrapped in the answer, and is in the TPM now.
    security.signWithIdentity(Buffer.from('for the hub'), (failed, signature) =>
      say({ result, signature: failed ? failed.message : signature.toString('base64') }),
    );
  });
}
