// Leads connections to port 443 to LANDFALL_PORT: the SDK knows no other port than 443, and tests may not take it.
'use strict';

const net = require('node:net');

const port = Number(process.env.LANDFALL_PORT);
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (options && Number(options.port) === 443) options.port = port;
  return connect.apply(this, args);
};
