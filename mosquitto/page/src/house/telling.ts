/** What the services' health says, put together for people: pure. */
import type { Device, Place, Service } from "../contract/house";
import type { Health } from "../contract/types";
import { date } from "../text/format";

type Services = ReadonlyMap<string, Service>;

/** One sentence of health, with all services that say it. */
export interface Told {
  subject: string;
  text: string;
  services: string[];
}

/** Sentences of `field`, one that several services say only once; in the order of their subjects. */
export function told(services: Services, field: "problems" | "facts"): Told[] {
  const found = new Map<string, Told>();
  for (const [name, { health }] of [...services].sort(([a], [b]) => a.localeCompare(b))) {
    for (const [subject, text] of Object.entries(health[field] ?? {})) {
      const key = `${subject} ${text}`;
      const known = found.get(key);
      if (known) known.services.push(name);
      else found.set(key, { subject, text, services: [name] });
    }
  }
  return [...found.values()].sort((a, b) => a.subject.localeCompare(b.subject) || b.services.length - a.services.length);
}

/** The services that should run and do not. */
export function dead(services: Services): string[] {
  return [...services].filter(([, one]) => one.online === false).map(([name]) => name).sort();
}

/** The device that a problem such as `device.mppt` is about. */
export function deviceOf(subject: string, devices: ReadonlyMap<string, Device>): Device | undefined {
  return devices.get(subject.split(".")[1] ?? "");
}

/** Each version that runs, with its services; one if all is well. */
export function versions(services: Services): [string, string[]][] {
  const found = new Map<string, string[]>();
  for (const [name, { online, health }] of services) {
    if (online !== false && health.version) found.set(health.version, [...(found.get(health.version) ?? []), name]);
  }
  return [...found].sort(([, a], [, b]) => b.length - a.length);
}

/** A sentence whose times, written as on the wire, are those of this browser's zone. */
export function timed(text: string): string {
  return text.replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, (at) => date(Date.parse(at), "full"));
}

/** When a process was started, ms; null if it does not say. */
export function started(health: Health): number | null {
  const at = Date.parse(health.started ?? "");
  return Number.isNaN(at) ? null : at;
}

/** Bytes that a machine writes to its card a day, from what it has written since it was started; null if unknown. */
export function writtenPerDay(places: readonly Place[]): number | null {
  const rising = (kind: string) =>
    places.find(({ entity }) => entity.device_class === kind && entity.state_class === "total_increasing");
  const value = (at: Place | undefined) => at?.device.value(at.key);
  const [written, uptime] = [rising("data_size"), rising("duration")];
  const [megabytes, seconds] = [value(written), value(uptime)];
  if (typeof megabytes !== "number" || typeof seconds !== "number" || seconds < 3600) return null;
  return (megabytes * 1e6 * 86_400) / seconds;
}

/** A line of an access log (docs/contract.md). */
export interface Line {
  ts: string;
  what: string;
  value?: string;
  from?: string;
  reply_to?: string;
  left_out?: number;
}

/** The newest lines of all logs, newest first. */
export function newest(logs: readonly (readonly Line[])[], most: number): Line[] {
  return logs.flat().sort((a, b) => Date.parse(b.ts) - Date.parse(a.ts)).slice(0, most);
}

/** Who sent it: the name that was given, else the client that wanted the answer. */
export function sender({ from, reply_to }: Line): string {
  return from ?? reply_to?.split("/").at(2) ?? "";
}
