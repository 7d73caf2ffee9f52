// Acme Pumps' policy in JavaScript: the same as in ../rust, line for line the same decisions.
//
// 1. A pump stays in its region. No hub there with room: it waits.
// 2. A few pumps in a hundred, picked by serial number, are canaries, on hubs with the label ring=canary.
// 3. The last part of each hub is kept for pumps that come back.
// 4. Within a customer, pumps stand in cells of a limited size.

import { groupCount, hubLabel } from 'landfall:policy/catalog@0.1.0';

import { exported, fraction, fullness, log, rank, readSettings, requireFact, unsupported } from './landfall.js';

let settings;

/** @type {typeof import('landfall:policy/control@0.1.0')} */
export const control = exported({
  describe: () => ({
    name: 'region-and-customer',
    version: '1.0.0',
    summary: "Keeps devices in their region, canaries on hubs of their own, and each customer's devices in cells",
    settingsSchema: JSON.stringify(SCHEMA),
  }),

  configure(text) {
    const given = readSettings(text, { 'keep-free': 0.1, canary: null, 'cell-size': 100 });
    const problems = [];
    const within = (value, least, most) => typeof value === 'number' && value >= least && value <= most;
    if (!within(given['keep-free'], 0, 1) || given['keep-free'] === 1) {
      problems.push({ pointer: '/keep-free', message: 'from 0 to less than 1' });
    }
    if (given.canary !== null && !within(given.canary.percent, 0, 100)) {
      problems.push({ pointer: '/canary/percent', message: 'from 0 to 100' });
    }
    if (!Number.isInteger(given['cell-size']) || given['cell-size'] < 1) {
      problems.push({ pointer: '/cell-size', message: 'a cell takes at least one pump' });
    }
    if (problems.length > 0) throw problems;
    settings = given;
  },
});

/** @type {typeof import('landfall:policy/hub-selection@0.1.0')} */
export const hubSelection = exported({
  selectHub(_call, device, candidates) {
    const region = requireFact(device, 'region');
    const ring = ringOf(device);
    const suitable = candidates.filter((hub) => {
      const suits =
        hubLabel(hub.handle, 'region') === region &&
        (hubLabel(hub.handle, 'ring') === 'canary') === (ring === 'canary') &&
        hasRoom(hub, device);
      log('debug', () => ({ message: 'looked at', hub: hub.name, suits, fullness: fullness(hub) }));
      return suits;
    });

    const before = device.prior && suitable.find((hub) => hub.name === device.prior.hub);
    if (before) return assign([before], 'came-back', 'it was on this hub before');
    const why = `${ring} pump in ${region}`;
    const ranking = rank(device.registrationId, suitable, 3);
    if (ranking.length > 0) return assign(ranking, 'region-and-ring', why);
    const reason = { code: 'region-full', detail: `no hub takes a ${why}` };
    return { tag: 'defer', val: { retryAfterMs: 60_000, reason } };
  },
});

/** @type {typeof import('landfall:policy/grouping@0.1.0')} */
export const grouping = exported({
  place(_call, device, _hub) {
    const customer = requireFact(device, 'customer');
    const site = requireFact(device, 'site');
    const cells = Array.from({ length: MOST_CELLS }, (_, number) => `cell-${number + 1}`);
    const cell = cells.find((name) => groupCount([customer, site, name]) < BigInt(settings['cell-size']));
    if (cell === undefined) throw unsupported(`all ${MOST_CELLS} cells of ${site} are full`);
    return {
      groupPath: [customer, site, cell],
      tags: [
        { key: 'customer', value: JSON.stringify(customer) },
        { key: 'ring', value: JSON.stringify(ringOf(device)) },
      ],
      desired: undefined,
      // An object: the devices' SDKs for Java and C take no other reply.
      reply: JSON.stringify({ message: `welcome to ${site}` }),
      reasons: [{ code: 'customer-site-cell', detail: `${cell} of ${site} has room` }],
    };
  },
});

/** @returns {import('landfall:policy/hub-selection@0.1.0').Outcome} */
function assign([hub, ...alternates], code, detail) {
  const others = alternates.map(({ handle }) => handle);
  return { tag: 'assign', val: { hub: hub.handle, alternates: others, deviceId: undefined, reasons: [{ code, detail }] } };
}

function ringOf(device) {
  const { canary } = settings;
  if (canary === null) return 'stable';
  return 100 * fraction(canary.name, requireFact(device, 'serial')) < canary.percent ? 'canary' : 'stable';
}

function hasRoom(hub, device) {
  return device.prior?.hub === hub.name || fullness(hub) < 1 - settings['keep-free'];
}

const MOST_CELLS = 64;

const SCHEMA = {
  title: 'region-and-customer',
  type: 'object',
  additionalProperties: false,
  properties: {
    'keep-free': { type: 'number', default: 0.1, description: 'How much of each hub is kept for pumps that come back, from 0 to 1.' },
    canary: {
      description: 'Which pumps are canaries; none when left out.',
      type: ['object', 'null'],
      additionalProperties: false,
      required: ['name', 'percent'],
      properties: {
        name: { type: 'string', description: 'Change it to pick others.' },
        percent: { type: 'number', description: 'How many in a hundred.' },
      },
    },
    'cell-size': { type: 'integer', default: 100, description: 'How many pumps a cell takes.' },
  },
};
