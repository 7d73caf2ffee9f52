// The contract of policies as types, made by types.mjs.

declare module 'landfall:policy/catalog@0.1.0' {
  /**
   * The labels of a hub, sorted by key. A handle that is not a candidate has none.
   */
  export function hubLabels(hub: HubHandle): Array<Label>;
  /**
   * One label of a hub.
   */
  export function hubLabel(hub: HubHandle, key: string): string | undefined;
  /**
   * How many devices are placed at a path or below it; lets a policy balance or cap its groups.
   */
  export function groupCount(path: Array<string>): bigint;
  export type HubHandle = import('landfall:policy/types@0.1.0').HubHandle;
  export type Label = import('landfall:policy/types@0.1.0').Label;
}
declare module 'landfall:policy/control@0.1.0' {
  /**
   * Says who the plugin is. Called once when a revision is loaded, before `configure`.
   */
  export function describe(): Description;
  /**
   * Checks the settings and keeps them. Called once for each pair of revision and settings; the configured
   * state is what every later call starts from. There is no clock and no randomness here.
   */
  export function configure(settings: JsonText): void;
  export type JsonText = import('landfall:policy/types@0.1.0').JsonText;
  export interface Description {
    /**
     * Lower-case letters, digits and hyphens.
     */
    name: string,
    /**
     * Semantic version.
     */
    version: string,
    /**
     * One sentence.
     */
    summary: string,
    /**
     * JSON Schema of the settings, when the plugin takes any.
     */
    settingsSchema?: JsonText,
  }
  /**
   * What is wrong with the settings, and where.
   */
  export interface Problem {
    /**
     * RFC 6901 pointer into the settings; empty for the whole document.
     */
    pointer: string,
    message: string,
  }
}
declare module 'landfall:policy/grouping@0.1.0' {
  /**
   * Places a device whose hub is chosen.
   */
  export function place(call: Call, device: Device, hub: Hub): Placement;
  export type Call = import('landfall:policy/types@0.1.0').Call;
  export type Device = import('landfall:policy/types@0.1.0').Device;
  export type Hub = import('landfall:policy/types@0.1.0').Hub;
  export type JsonText = import('landfall:policy/types@0.1.0').JsonText;
  export type Label = import('landfall:policy/types@0.1.0').Label;
  export type Reason = import('landfall:policy/types@0.1.0').Reason;
  export type Fault = import('landfall:policy/types@0.1.0').Fault;
  /**
   * Where the device belongs. The answers of several grouping plugins are joined: the first path that is not
   * empty wins, tags and desired properties are merged, and two different values for one key are a fault.
   */
  export interface Placement {
    /**
     * From the outermost group inwards; empty for no opinion.
     */
    groupPath: Array<string>,
    /**
     * Top-level members of the initial twin's tags; each value is JSON text.
     */
    tags: Array<Label>,
    /**
     * The initial twin's desired properties, a JSON object.
     */
    desired?: JsonText,
    /**
     * What the device is told in the `payload` of its registration.
     */
    reply?: JsonText,
    reasons: Array<Reason>,
  }
}
declare module 'landfall:policy/hub-selection@0.1.0' {
  /**
   * Chooses among the candidates: hubs that are active, allowed by the enrollment and have room.
   */
  export function selectHub(call: Call, device: Device, candidates: Array<Hub>): Outcome;
  export type Call = import('landfall:policy/types@0.1.0').Call;
  export type Device = import('landfall:policy/types@0.1.0').Device;
  export type Hub = import('landfall:policy/types@0.1.0').Hub;
  export type HubHandle = import('landfall:policy/types@0.1.0').HubHandle;
  export type Reason = import('landfall:policy/types@0.1.0').Reason;
  export type Fault = import('landfall:policy/types@0.1.0').Fault;
  /**
   * A hub for the device.
   */
  export interface Choice {
    hub: HubHandle,
    /**
     * Taken in this order when the chosen hub has no room left at the moment of the commit.
     */
    alternates: ArrayLike<number>,
    /**
     * The id of the device in its hub, when it is to differ from the registration id.
     */
    deviceId?: string,
    reasons: Array<Reason>,
  }
  /**
   * Not now.
   */
  export interface Deferral {
    /**
     * Milliseconds until the device asks again.
     */
    retryAfterMs: number,
    reason: Reason,
  }
  /**
   * What the policy decided.
   */
  export type Outcome = OutcomeAssign | OutcomeDefer | OutcomeReject | OutcomeAbstain;
  export interface OutcomeAssign {
    tag: 'assign',
    val: Choice,
  }
  /**
   * The device stays `assigning` and asks again.
   */
  export interface OutcomeDefer {
    tag: 'defer',
    val: Deferral,
  }
  /**
   * Final: the device's registration fails.
   */
  export interface OutcomeReject {
    tag: 'reject',
    val: Reason,
  }
  /**
   * No opinion: the enrollment's fallback policy decides.
   */
  export interface OutcomeAbstain {
    tag: 'abstain',
    val: Reason,
  }
}
declare module 'landfall:policy/log@0.1.0' {
  /**
   * Whether lines of this level are kept. Ask before building a costly line.
   */
  export function enabled(level: Level): boolean;
  /**
   * Keeps one line. Past the plugin's log budget lines are counted and dropped.
   */
  export function emit(level: Level, message: string, fields: Array<Label>): void;
  export type Label = import('landfall:policy/types@0.1.0').Label;
  /**
   * # Variants
   * 
   * ## `"trace"`
   * 
   * ## `"debug"`
   * 
   * ## `"info"`
   * 
   * ## `"warn"`
   * 
   * ## `"error"`
   */
  export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error';
}
declare module 'landfall:policy/types@0.1.0' {
  /**
   * A hub's position among the candidates of this one call. Never stored, never compared across calls.
   */
  export type HubHandle = number;
  /**
   * RFC 8259 text. The host parses it and enforces limits of size and depth.
   */
  export type JsonText = string;
  /**
   * How the device proved its credential on this connection.
   * # Variants
   * 
   * ## `"x509"`
   * 
   * ## `"tpm"`
   * 
   * ## `"symmetric-key"`
   * 
   * ## `"token"`
   */
  export type Attestation = 'x509' | 'tpm' | 'symmetric-key' | 'token';
  /**
   * Whether one device or a whole group of devices is enrolled by the entry that admitted this device.
   * # Variants
   * 
   * ## `"individual"`
   * 
   * ## `"group"`
   */
  export type EnrollmentKind = 'individual' | 'group';
  /**
   * A key and its value.
   */
  export interface Label {
    key: string,
    value: string,
  }
  /**
   * Why something was answered: a code for programs, at most 64 characters of `[a-z0-9-]`, and a sentence for people.
   */
  export interface Reason {
    code: string,
    detail: string,
  }
  /**
   * Degrees, WGS 84. Latitude from -90 to 90, longitude from -180 to 180.
   */
  export interface Location {
    latitude: number,
    longitude: number,
  }
  /**
   * Where the device was before. Present when this is a re-provisioning.
   */
  export interface Prior {
    /**
     * The hub's name; it may no longer be among the candidates.
     */
    hub: string,
    groupPath: Array<string>,
    /**
     * When it was assigned, in milliseconds since 1970-01-01 UTC.
     */
    since: bigint,
  }
  /**
   * The device that registers.
   */
  export interface Device {
    registrationId: string,
    attestation: Attestation,
    enrollment: EnrollmentKind,
    /**
     * The registration id of an individual enrollment, or the id of the group.
     */
    enrollmentId: string,
    /**
     * What the manufacturer said of this device beforehand, sorted by key. Trusted as far as the manufacturer is.
     */
    facts: Array<Label>,
    /**
     * What the credential itself proved now (subject, issuer, serial number, ...), sorted by key.
     */
    claims: Array<Label>,
    /**
     * The top-level members of the enrollment's initial-twin tags, sorted by key; each value is JSON text.
     */
    tags: Array<Label>,
    /**
     * What the device merely says of itself. Untrusted.
     */
    payload?: JsonText,
    prior?: Prior,
  }
  /**
   * One hub that may be chosen. Exactly one string: the rest is scalar, so that long lists stay cheap.
   */
  export interface Hub {
    handle: HubHandle,
    /**
     * The hub's host name.
     */
    name: string,
    /**
     * The operator's weight, 1 to 1000.
     */
    weight: number,
    /**
     * How many devices it takes.
     */
    capacity: bigint,
    /**
     * How many devices are assigned to it now.
     */
    assigned: bigint,
    /**
     * Registrations that have chosen it and are not yet committed.
     */
    pending: number,
    /**
     * Where it stands, when the operator said so.
     */
    location?: Location,
  }
  /**
   * Everything ambient that a decision may depend on, made explicit.
   */
  export interface Call {
    /**
     * The id under which the host keeps this decision.
     */
    decisionId: string,
    /**
     * Milliseconds since 1970-01-01 UTC; the only clock that a pure policy has.
     */
    now: bigint,
    /**
     * The only randomness that a pure policy has.
     */
    seed: bigint,
    /**
     * Changes whenever the operator changes the hubs.
     */
    catalogRevision: bigint,
    /**
     * Above 0 when the host asks again because the chosen hubs had no room left.
     */
    attempt: number,
  }
  /**
   * The policy could not do its work. Not a decision: the device waits and the operator is told.
   */
  export type Fault = FaultUnsupported | FaultBadInput | FaultInternal;
  /**
   * The policy does not handle such devices or candidates.
   */
  export interface FaultUnsupported {
    tag: 'unsupported',
    val: string,
  }
  /**
   * Something it was given is wrong, such as a fact that it needs and that is missing.
   */
  export interface FaultBadInput {
    tag: 'bad-input',
    val: string,
  }
  /**
   * Anything else.
   */
  export interface FaultInternal {
    tag: 'internal',
    val: string,
  }
}
