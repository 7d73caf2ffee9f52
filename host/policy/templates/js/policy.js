// {{name}}: a device goes to a hub of its own region.
//
// The fact `region` of the manufacturing record says where the device is; the label `region` of a hub, where the hub is.
// Make it yours: `control` takes the settings, the decisions are the functions below it.

{{#selects}}
import { hubLabel } from 'landfall:policy/catalog@0.1.0';

import { badInput, exported, log, rank, readSettings, requireFact } from './landfall.js';
{{/selects}}
{{#only-places}}
import { badInput, exported, readSettings, requireFact } from './landfall.js';
{{/only-places}}

let settings;

/** @type {typeof import('landfall:policy/control@0.1.0')} */
export const control = exported({
  describe: () => ({
    name: '{{name}}',
    version: '0.1.0',
    summary: 'Sends devices to hubs of their region',
    settingsSchema: JSON.stringify(SCHEMA),
  }),

  configure(text) {
{{#selects}}
    const given = readSettings(text, { 'region-key': 'region', 'retry-seconds': 60 });
{{/selects}}
{{#only-places}}
    const given = readSettings(text, { 'region-key': 'region' });
{{/only-places}}
    if (given['region-key'] === '') throw [{ pointer: '/region-key', message: 'name a fact' }];
    settings = given;
  },
});

{{#selects}}
/** @type {typeof import('landfall:policy/hub-selection@0.1.0')} */
export const hubSelection = exported({
  selectHub(_call, device, candidates) {
    const region = regionOf(device);
    const here = candidates.filter((hub) => {
      const ofHub = hubLabel(hub.handle, settings['region-key']);
      log('debug', () => ({ message: 'looked at', hub: hub.name, region: ofHub ?? '-' }));
      return ofHub === region;
    });
    // The same device always gets the same hub, and a new hub takes only its share.
    const [hub, ...alternates] = rank(device.registrationId, here, 3);
    if (hub === undefined) {
      const reason = { code: 'region-full', detail: `no hub in ${region} takes a device` };
      return { tag: 'defer', val: { retryAfterMs: 1000 * settings['retry-seconds'], reason } };
    }
    return {
      tag: 'assign',
      val: {
        hub: hub.handle,
        alternates: alternates.map(({ handle }) => handle),
        deviceId: undefined,
        reasons: [{ code: 'in-region', detail: `a hub in ${region}` }],
      },
    };
  },
});

{{/selects}}
{{#places}}
/** @type {typeof import('landfall:policy/grouping@0.1.0')} */
export const grouping = exported({
  place(_call, device, _hub) {
    const region = regionOf(device);
    return {
      groupPath: [region],
      tags: [{ key: 'region', value: JSON.stringify(region) }],
      desired: undefined,
      reply: undefined,
      reasons: [{ code: 'by-region', detail: `made for ${region}` }],
    };
  },
});

{{/places}}
// The device's region. It becomes part of a path, and a manufacturer may write anything into a fact.
function regionOf(device) {
  const region = requireFact(device, settings['region-key']);
  if (!/^[A-Za-z0-9-]{1,64}$/.test(region)) throw badInput(`${JSON.stringify(region)} is no region`);
  return region;
}

const SCHEMA = {
  title: '{{name}}',
  type: 'object',
  additionalProperties: false,
  properties: {
    'region-key': { type: 'string', default: 'region', description: 'The fact and the label that must be the same.' },
{{#selects}}
    'retry-seconds': { type: 'integer', default: 60, description: 'Seconds until a device asks again when no hub of its region takes it.' },
{{/selects}}
  },
};
