/** The house as the broker tells it: devices, services, alarms. Fed by messages, read by the views. */
import { batch, computed, signal, type Signal } from "@preact/signals";
import { keepValue, keptValue } from "./kept";
import { base, levels } from "./topics";
import type { Message } from "./transport";
import type { About, Alarm, Entity, Health, Value } from "./types";

/** Values that are no entities (docs/contract.md, "State"). */
const NOT_VALUES = new Set(["ts", "clock", "stream", "seq", "after", "late", "last_reset", "device"]);
/** A device that reports at least this often is never shown as old sooner, ms. */
const SHORTEST_PACE = 30_000;

/** Ms that the house clock is ahead of this browser's. */
const ahead = signal(0);
let best = Number.NEGATIVE_INFINITY;
let bestAt = 0;

/** Whether a live reading has told the time of the house. */
export function knowsTime(): boolean {
  return bestAt > 0;
}

/** The time of the house, ms since 1970; the browser's own clock may be wrong. */
export function houseNow(): number {
  return Date.now() + ahead.value;
}

/** The house's time, renewed every second: what shows an age reads it. */
export const second = signal(houseNow());
setInterval(() => {
  if (!document.hidden) second.value = houseNow();
}, 1000);

export type Values = Readonly<Record<string, Value>>;

/** One device. `heard` is when its newest reading was measured, ms of the house clock; 0 before the first. */
export class Device {
  readonly values: Signal<Values> = signal({});
  readonly heard = signal(0);
  readonly online: Signal<boolean | null> = signal(null);
  /** Usual ms between two readings. */
  pace = SHORTEST_PACE;
  readonly about: Signal<About>;

  constructor(
    readonly id: string,
    about: About,
  ) {
    this.about = signal(about);
  }

  /** Its value of an entity: undefined if none was ever heard, null if it is unknown now. */
  value(entity: string): Value | undefined {
    return this.values.value[entity];
  }

  /** Whether its values are no longer to be believed. */
  readonly old = computed(() => {
    const { expire_after } = this.about.value;
    if (this.online.value === false || this.heard.value === 0) return true;
    return expire_after !== undefined && second.value - this.heard.value > expire_after * 1000;
  });

  /** Ms since its newest reading if that is longer than twice its usual pace, else null. */
  readonly late = computed(() => {
    const age = second.value - this.heard.value;
    return this.heard.value > 0 && age > 2 * this.pace ? age : null;
  });

  /** Entities that this connection has brought a value of. */
  fresh = new Set<string>();
}

export interface Service {
  online: boolean | null;
  health: Health;
}

export const devices: Signal<ReadonlyMap<string, Device>> = signal(new Map());
export const services: Signal<ReadonlyMap<string, Service>> = signal(new Map());
export const alarms: Signal<ReadonlyMap<string, Alarm>> = signal(new Map());
/** What admins decided for all browsers (`camper/page`), undefined if nothing. */
export const shared: Signal<unknown> = signal(undefined);

/** One entity of one device. */
export interface Place {
  device: Device;
  key: string;
  entity: Entity;
}

/** Every entity of every device, in the order of the abouts. */
export const places = computed<Place[]>(() =>
  [...devices.value.values()].flatMap((device) =>
    Object.entries(device.about.value.entities).map(([key, entity]) => ({ device, key, entity })),
  ),
);

/** Find `device.entity`; undefined if there is none. */
export function place(name: string): Place | undefined {
  const [id = "", key = ""] = name.split(".");
  const device = devices.value.get(id);
  const entity = device?.about.value.entities[key];
  return device && entity ? { device, key, entity } : undefined;
}

function put<T>(into: Signal<ReadonlyMap<string, T>>, key: string, value: T | undefined): void {
  const next = new Map(into.value);
  if (value === undefined) next.delete(key);
  else next.set(key, value);
  into.value = next;
}

function parsed(payload: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(payload);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null; // another program's message; what cannot be read is not shown
  }
}

function onAbout(id: string, payload: string): void {
  const about = parsed(payload) as About | null;
  if (about === null || typeof about.entities !== "object" || about.entities === null) {
    if (devices.value.has(id)) put(devices, id, undefined);
    return;
  }
  const known = devices.value.get(id);
  if (known) known.about.value = about;
  else {
    const device = new Device(id, about);
    const waiting = [...early.values()].filter(({ topic }) => levels(topic)?.[1] === id);
    put(devices, id, device);
    for (const message of waiting) {
      early.delete(message.topic);
      take(message);
    }
  }
}

/** The newest message of each topic of devices whose about has not come yet: retained ones arrive in any order. */
const early = new Map<string, Message>();
const MOST_EARLY = 5000;

function wait(message: Message): void {
  if (early.size < MOST_EARLY || early.has(message.topic)) early.set(message.topic, message);
}

function onReading(device: Device, message: Message): void {
  const reading = parsed(message.payload);
  if (reading === null || reading["late"] === true) return;
  const ts = typeof reading["ts"] === "string" ? Date.parse(reading["ts"]) : Number(reading["ts"] ?? Number.NaN);
  if (!message.retained && !Number.isNaN(ts) && reading["clock"] !== "unset") setClock(ts);
  const measured = Number.isNaN(ts) ? (message.retained ? device.heard.value : houseNow()) : ts;
  if (!message.retained && device.heard.value > 0) {
    const since = Math.max(measured - device.heard.value, 0);
    device.pace = Math.max(SHORTEST_PACE, device.pace + (since - device.pace) / 8);
  }
  const values: Record<string, Value> = { ...device.values.value };
  for (const [key, value] of Object.entries(reading)) {
    if (!NOT_VALUES.has(key) && (value === null || typeof value === "number" || typeof value === "string")) {
      values[key] = value;
      device.fresh.add(key);
    }
  }
  device.heard.value = measured;
  device.values.value = values;
}

/** The house clock is ahead by the newest `ts` less our own time; what arrives late says too little. */
function setClock(ts: number): void {
  const found = ts - Date.now();
  if (found >= best || Date.now() - bestAt > 60_000 || Math.abs(found - best) > 60_000) {
    best = found;
    bestAt = Date.now();
    if (Math.abs(best - ahead.peek()) > 500) ahead.value = best;
  }
}

function onValue(device: Device, key: string, payload: string): void {
  const entity = device.about.value.entities[key];
  if (!entity || device.fresh.has(key)) return;
  const number = Number(payload);
  const isText = entity.boolean || entity.options || payload.trim() === "" || Number.isNaN(number);
  device.values.value = { ...device.values.peek(), [key]: payload === "None" ? null : isText ? payload : number };
}

function onService(id: string, change: Partial<Service>): void {
  put(services, id, { ...(services.value.get(id) ?? { online: null, health: {} }), ...change });
}

/** A new connection begins: what is known may be old. */
export function begin(): void {
  early.clear();
  for (const device of devices.value.values()) device.fresh.clear();
}

/** Take one message of the broker. */
export function take(message: Message): void {
  const [kind, id = "", key] = levels(message.topic) ?? [];
  if (kind === "about") return onAbout(id, message.payload);
  if (kind === "alarm") return put(alarms, id, (parsed(message.payload) as Alarm | null) ?? undefined);
  if (kind === "page") {
    shared.value = parsed(message.payload) ?? undefined;
    return;
  }
  if (kind === "service") return onService(id, { online: message.payload === "online" });
  if (kind === "health") return onService(id, { health: (parsed(message.payload) ?? {}) as Health });
  const device = devices.value.get(id);
  if (!device) {
    if (kind === "state" || kind === "availability") wait(message);
    return;
  }
  if (kind === "availability") device.online.value = message.payload === "online";
  else if (kind === "state" && key === undefined) onReading(device, message);
  else if (kind === "state" && key !== undefined) onValue(device, key, message.payload);
}

let queue: Message[] = [];
let asked = false;

/** Take messages in batches, one drawing for all that came together. */
export function receive(message: Message): void {
  queue.push(message);
  if (asked) return;
  asked = true;
  setTimeout(() => {
    const batchOf = queue;
    queue = [];
    asked = false;
    batch(() => batchOf.forEach(take));
  });
}

const KEPT = `boondock.house.${base}`;

/** Keep the house for the next start, when it is shown before the first message. */
export function keep(): void {
  keepValue(KEPT, [...devices.value.values()].map((device) => [device.id, device.about.value, device.values.value, device.heard.value]));
}

/** Show what `keep` kept; it is old until the broker says more. */
export function recall(): void {
  try {
    const found = (keptValue(KEPT) ?? []) as [string, About, Values, number][];
    devices.value = new Map(
      found.map(([id, about, values, heard]) => {
        const device = new Device(id, about);
        device.values.value = values;
        device.heard.value = heard;
        return [id, device];
      }),
    );
  } catch {
    keepValue(KEPT, null); // of another version
  }
}

/** Devices that the broker did not name within its first messages are gone. */
export function forget(named: ReadonlySet<string>): void {
  const next = new Map([...devices.value].filter(([id]) => named.has(id)));
  if (next.size !== devices.value.size) devices.value = next;
}
