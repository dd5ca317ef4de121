/** Which cards the first screen has, from the abouts alone: pure. */
import type { Device, Place } from "../contract/house";
import type { Role } from "../contract/types";

export type Kind = "battery" | "sun" | "flow" | "shore" | "charger" | "alternator" | "generator" | "loads" | "tanks" | "switches" | "device";

/** One card; `id` is stable, for what the owner hides, renames and reorders. */
export interface Card {
  id: string;
  kind: Kind;
  places: Place[];
}

/** The layout that an owner made: `order` names cards, those that it does not name follow. */
export interface Layout {
  order?: string[];
  hidden?: string[];
  names?: Record<string, string>;
}

const SOURCES = ["charger", "alternator", "generator"] as const;

/** What an entity is in the house. For a device that tells no roles, only what its classes say for sure. */
export function roleOf({ device, entity }: Pick<Place, "device" | "entity">): Role | undefined {
  if (entity.role) return entity.role;
  if (Object.values(device.about.value.entities).some((one) => one.role)) return undefined;
  const { device_class: kind, unit } = entity;
  if (entity.diagnostic) return undefined;
  if (kind === "volume_storage" || (unit === "%" && kind === undefined && has(device, "volume_storage"))) return "tank";
  if (kind === "battery" && unit === "%") return "battery";
  if (has(device, "battery") && (kind === "power" || kind === "duration")) return "battery";
  return undefined;
}

function has(device: Device, kind: string): boolean {
  return Object.values(device.about.value.entities).some((entity) => entity.device_class === kind && !entity.diagnostic);
}

/** Find the entities of one role, and of one device class if named. */
export function having(places: readonly Place[], role: Role, kind?: string): Place[] {
  return places.filter((one) => roleOf(one) === role && (kind === undefined || one.entity.device_class === kind));
}

/** Whether an entity is for the first screen: no diagnostic one, no word about the device itself. */
function matters({ entity }: Place): boolean {
  const { diagnostic, state_class, boolean, device_class, unit } = entity;
  return !diagnostic && (boolean || device_class === "enum" || state_class !== undefined || unit !== undefined);
}

/** The standard cards in the order of what a van needs first. */
export function standard(places: readonly Place[]): Card[] {
  const found: Card[] = [];
  const put = (kind: Kind, list: Place[]) => list.length > 0 && found.push({ id: kind, kind, places: list });
  for (const device of monitors(places)) {
    found.push({ id: `battery.${device.id}`, kind: "battery", places: places.filter((one) => one.device === device && (matters(one) || roleOf(one) === "battery")) });
  }
  put("sun", having(places, "solar"));
  put("shore", [...having(places, "grid", "power"), ...places.filter((one) => one.entity.boolean === true && (one.entity.device_class === "plug" || one.entity.role === "grid"))]);
  for (const role of SOURCES) put(role, having(places, role, "power"));
  put("tanks", having(places, "tank"));
  put("switches", places.filter((one) => one.entity.command));
  put("loads", having(places, "load", "power"));
  if (flows(places).length > 1) found.push({ id: "flow", kind: "flow", places: flows(places) });
  return [...found, ...devicesOf(places, new Set(found.flatMap((card) => card.places.map(nameOf))))];
}

/** The devices that measure a battery; one that only guesses its charge counts if no other measures it. */
function monitors(places: readonly Place[]): Device[] {
  const of = (kind: (one: Place) => boolean) => new Set(having(places, "battery").filter(kind).map((one) => one.device));
  const charged = of((one) => one.entity.unit === "%");
  const flowing = of((one) => one.entity.device_class === "power");
  const both = [...charged].filter((device) => flowing.has(device));
  return both.length > 0 ? both : [...charged];
}

/** The powers of the flow drawing. */
export function flows(places: readonly Place[]): Place[] {
  const roles: readonly Role[] = ["solar", "battery", "grid", "load", ...SOURCES];
  return roles.flatMap((role) => having(places, role, "power"));
}

function devicesOf(places: readonly Place[], shown: ReadonlySet<string>): Card[] {
  const devices = [...new Set(places.map((one) => one.device))];
  return devices.flatMap((device) => {
    const list = places.filter((one) => one.device === device && matters(one) && !shown.has(nameOf(one)));
    return list.length > 0 ? [{ id: `device.${device.id}`, kind: "device" as const, places: list }] : [];
  });
}

/** The name of an entity on the wire: `device.entity`. */
export function nameOf({ device, key }: Pick<Place, "device" | "key">): string {
  return `${device.id}.${key}`;
}

/** Order the cards as the owner wants them, and mark what is hidden. */
export function arranged(cards: readonly Card[], layout: Layout): { shown: Card[]; hidden: Card[] } {
  const order = layout.order ?? [];
  const rank = (card: Card) => {
    const at = order.indexOf(card.id);
    return at < 0 ? order.length + cards.indexOf(card) : at;
  };
  const sorted = [...cards].sort((a, b) => rank(a) - rank(b));
  const hidden = new Set(layout.hidden ?? []);
  return { shown: sorted.filter((card) => !hidden.has(card.id)), hidden: sorted.filter((card) => hidden.has(card.id)) };
}

/** Read a layout that somebody else wrote; what is malformed is left out. */
export function layoutFrom(said: unknown): Layout {
  if (typeof said !== "object" || said === null) return {};
  const { order, hidden, names } = said as Record<string, unknown>;
  const texts = (list: unknown) => (Array.isArray(list) ? list.filter((one): one is string => typeof one === "string").slice(0, 500) : undefined);
  const named = typeof names === "object" && names !== null ? Object.entries(names).filter(([, name]) => typeof name === "string") : [];
  return { order: texts(order), hidden: texts(hidden), names: Object.fromEntries(named) as Record<string, string> };
}
