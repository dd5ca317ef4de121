/** Forms from the JSON Schema of the verb `kinds` (docs/registry.md): fields, texts, values, mistakes. Pure. */

export interface Property {
  title?: string;
  description?: string;
  unit?: string;
  type?: "string" | "number" | "integer" | "boolean" | "array" | "object";
  minimum?: number;
  maximum?: number;
  enum?: (string | number)[];
  default?: unknown;
  examples?: string[];
  writeOnly?: boolean;
  items?: Property | false;
  properties?: Record<string, Property>;
  additionalProperties?: unknown;
}

export interface Schema {
  properties: Record<string, Property>;
  required: string[];
}

/** A kind of device. */
export interface Kind {
  kind: string;
  title: string;
  manufacturer: string;
  wire: string;
  scan: Schema | null;
  settings: Schema;
}

/** What stands in the fields, by key; a number of one entity by `steps.<entity>`. */
export type Draft = Readonly<Record<string, string>>;
export type Settings = Record<string, unknown>;

export interface FieldOf {
  key: string;
  property: Property;
  required: boolean;
}

/** Entities are switched off one by one, not in a form. */
const ELSEWHERE = new Set(["disabled"]);

/** Fields that everybody fills in, those with a default, and groups of numbers by entity. */
export function fieldsOf(schema: Schema): { main: FieldOf[]; more: FieldOf[] } {
  const main: FieldOf[] = [];
  const more: FieldOf[] = [];
  for (const [key, property] of Object.entries(schema.properties)) {
    if (ELSEWHERE.has(key)) continue;
    const required = schema.required.includes(key);
    if (property.properties) {
      for (const [one, its] of Object.entries(property.properties)) {
        more.push({ key: `${key}.${one}`, property: { ...its, title: `${property.title ?? key}: ${its.title ?? one}`, description: property.description }, required: false });
      }
    } else (required || property.default === undefined ? main : more).push({ key, property, required });
  }
  return { main: main.sort((a, b) => Number(b.required) - Number(a.required)), more };
}

/** Pairs of numbers: a table of [raw, %], or numbers by number. */
export function isPairs({ type, items, properties }: Property): boolean {
  return (type === "array" && typeof items === "object" && items.type === "array") || (type === "object" && !properties);
}

/** A value as it stands in its field, and as it is told: pairs as "240: 0, 33: 100". */
export function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value !== "object") return String(value);
  const parts: unknown[] = Array.isArray(value) ? value : Object.entries(value);
  return parts.map((one) => (Array.isArray(one) ? one.map(String).join(": ") : String(one))).join(", ");
}

/** The value of a text; what cannot be read stays a text, so that the house says what is allowed. */
export function valueOf(property: Property, text: string): unknown {
  const plain = text.trim();
  const numeric = (one: string): unknown => (one !== "" && Number.isFinite(Number(one)) ? Number(one) : one);
  if (isPairs(property)) {
    const pairs = plain.split(/[,;\n]+/).filter((one) => one.trim()).map((one) => one.split(/[:=]/).map((part) => part.trim()));
    if (pairs.some((pair) => pair.length !== 2)) return plain;
    return property.type === "array" ? pairs.map((pair) => pair.map(numeric)) : Object.fromEntries(pairs.map(([a, b]) => [a!, numeric(b!)]));
  }
  if (property.type === "array") {
    const isText = typeof property.items === "object" && property.items.type === "string";
    return plain.split(/[,\s]+/).filter(Boolean).map((one) => (isText ? one : numeric(one)));
  }
  if (property.type === "number" || property.type === "integer") return numeric(plain.replace(",", "."));
  return property.type === "boolean" ? plain === "true" : plain;
}

/** What stands in a form of settings as `devices` lists them; a secret is never there. */
export function draftOf(schema: Schema, settings: Settings): Record<string, string> {
  const draft: Record<string, string> = {};
  for (const [key, property] of Object.entries(schema.properties)) {
    const value = settings[key];
    if (property.writeOnly || value === undefined || value === null) continue;
    if (property.properties) for (const [one, its] of Object.entries(value as object)) draft[`${key}.${one}`] = String(its);
    else draft[key] = textOf(value);
  }
  return draft;
}

/** The whole value of a setting in a draft; undefined if it is left out. */
function drafted(key: string, property: Property, draft: Draft): unknown {
  if (!property.properties) return draft[key]?.trim() ? valueOf(property, draft[key]) : undefined;
  const own = Object.entries(draft).filter(([name, text]) => name.startsWith(`${key}.`) && text.trim());
  if (own.length === 0) return undefined;
  return Object.fromEntries(own.map(([name, text]) => [name.slice(key.length + 1), valueOf({ type: "number" }, text)]));
}

/** Settings of a new device: what was filled in. */
export function settingsOf(schema: Schema, draft: Draft): Settings {
  const all = Object.entries(schema.properties).map(([key, property]) => [key, drafted(key, property, draft)] as const);
  return Object.fromEntries(all.filter(([, value]) => value !== undefined));
}

/** What differs between two drafts; null sets a setting back. A secret is in neither unless it was typed. */
export function changesOf(schema: Schema, before: Draft, after: Draft): Settings {
  const changes: Settings = {};
  for (const [key, property] of Object.entries(schema.properties)) {
    const [old, now] = [drafted(key, property, before), drafted(key, property, after)];
    if (JSON.stringify(old) !== JSON.stringify(now)) changes[key] = now ?? null;
  }
  return changes;
}

/** The house's sentences by field: "address: …; key: …". What names no field is under the empty key. */
export function mistakesOf(message: string, keys: readonly string[]): Record<string, string> {
  const known = [...keys].sort((a, b) => b.length - a.length).map((key) => key.replace(".", "\\.")).join("|");
  const starts = [...message.matchAll(new RegExp(`(?:^|; )(?:(?:device\\.[a-z0-9_]+|settings)\\.)?(${known})(?:\\.[a-z0-9_]+|\\[\\d+\\])*: `, "g"))];
  if (starts.length === 0 || starts[0]!.index > 0) return { "": message };
  const found: Record<string, string> = {};
  starts.forEach((one, at) => {
    const text = message.slice(one.index + one[0].length, starts[at + 1]?.index);
    found[one[1]!] = found[one[1]!] ? `${found[one[1]!]}; ${text}` : text;
  });
  return found;
}

/** An id that no device has, from a name. */
export function freeId(name: string, taken: ReadonlySet<string>): string {
  const plain = name.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "").slice(0, 60) || "device";
  if (!taken.has(plain)) return plain;
  let number = 2;
  while (taken.has(`${plain}_${number}`)) number += 1;
  return `${plain}_${number}`;
}
