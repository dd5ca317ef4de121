/** Numbers, times and units in the owner's language, by Intl. */
import type { Entity, Value } from "../contract/types";
import { locale, t } from "./words";

const numbers = new Map<string, Intl.NumberFormat>();

/** Write a number with so many decimals. */
export function number(value: number, decimals = 0): string {
  const key = `${locale.value} ${decimals}`;
  let format = numbers.get(key);
  if (!format) {
    format = new Intl.NumberFormat(locale.value, { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    numbers.set(key, format);
  }
  // A value that rounds to nothing has no sign.
  const text = format.format(value);
  return /[1-9]/.test(text) ? text : format.format(0);
}

/** Large watts and watt-hours read better in thousands; the unit and the factor to show them in. */
export function scaled(unit: string | undefined, largest: number): { unit: string; factor: number } {
  const steps: Record<string, string> = { W: "kW", Wh: "kWh", VA: "kVA", kWh: "MWh" };
  const larger = unit === undefined ? undefined : steps[unit];
  const from = unit === "Wh" ? 1000 : 10_000;
  return larger && Math.abs(largest) >= from ? { unit: larger, factor: 1 / 1000 } : { unit: unit ?? "", factor: 1 };
}

/** How many decimals to show: those of about, or three digits in all after a change of unit. */
export function decimals(entity: Entity, factor = 1, value = 0): number {
  if (factor !== 1) return Math.abs(value * factor) < 10 ? 2 : 1;
  return entity.precision ?? (Number.isInteger(value) ? 0 : 2);
}

/** A value in words: number and unit, ON and OFF, an option; "–" if it is unknown. */
export function words(entity: Entity, value: Value | undefined): { text: string; unit: string } {
  if (value === null || value === undefined || value === "") return { text: "–", unit: "" };
  if (typeof value === "number") {
    if (entity.device_class === "duration") return { text: duration(value * secondsOf(entity.unit)), unit: "" };
    const { unit, factor } = scaled(entity.unit, value);
    return { text: number(value * factor, decimals(entity, factor, value)), unit };
  }
  if (entity.boolean) return { text: boolean(entity, value), unit: "" };
  return { text: entity.options ? option(value) : value, unit: "" };
}

function boolean(entity: Entity, value: string): string {
  const on = value === "ON";
  if (entity.device_class === "plug") return t(on ? "plugged" : "unplugged");
  if (entity.device_class === "problem") return t(on ? "problem" : "ok");
  if (["door", "window", "opening", "garage_door"].includes(entity.device_class ?? "")) return t(on ? "open" : "closed");
  if (entity.device_class === "moisture") return t(on ? "wet" : "dry");
  return t(on ? "on" : "off");
}

/** An option such as `low_power` as words. */
export function option(value: string): string {
  return value.replaceAll("_", " ");
}

function secondsOf(unit: string | undefined): number {
  return { s: 1, min: 60, h: 3600, d: 86_400, ms: 0.001 }[unit ?? "s"] ?? 1;
}

const UNITS = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
] as const;

function part(value: number, unit: "day" | "hour" | "minute" | "second"): string {
  return new Intl.NumberFormat(locale.value, { style: "unit", unit, unitDisplay: "short" }).format(value);
}

/** Seconds as the two largest units: "3 hr 20 min". */
export function duration(seconds: number): string {
  const at = UNITS.findIndex(([, size]) => seconds >= size);
  if (at < 0) return part(0, "second");
  const [unit, size] = UNITS[at]!;
  const next = UNITS[at + 1];
  const whole = Math.floor(seconds / size);
  const rest = next ? Math.floor((seconds - whole * size) / next[1]) : 0;
  // Two hours are not told to the second.
  return rest > 0 && next && unit !== "minute" ? `${part(whole, unit)} ${part(rest, next[0])}` : part(whole, unit);
}

/** Bytes in the unit that suits them. */
export function bytes(value: number): string {
  const unit = value >= 1e9 ? "gigabyte" : value >= 1e6 ? "megabyte" : "kilobyte";
  const size = { gigabyte: 1e9, megabyte: 1e6, kilobyte: 1e3 }[unit];
  return new Intl.NumberFormat(locale.value, { style: "unit", unit, maximumSignificantDigits: 3 }).format(value / size);
}

/** Ms ago as words: "4 min ago". */
export function ago(ms: number): string {
  const seconds = Math.max(ms, 0) / 1000;
  const [unit, size] = UNITS.find(([, each]) => seconds >= each) ?? UNITS[3];
  return new Intl.RelativeTimeFormat(locale.value, { style: "short" }).format(-Math.floor(seconds / size), unit);
}

const styles: Record<string, Intl.DateTimeFormatOptions> = {
  seconds: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  time: { hour: "2-digit", minute: "2-digit" },
  short: { day: "numeric", month: "short" },
  short_month: { month: "short" },
  day: { weekday: "short", day: "numeric", month: "short" },
  date: { year: "numeric", month: "short", day: "numeric" },
  month: { year: "numeric", month: "short" },
  year: { year: "numeric" },
  both: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
  dated: { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" },
  full: { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" },
};
const dates = new Map<string, Intl.DateTimeFormat>();

/** Ms since 1970 as a time of this browser's zone. */
export function date(ms: number, style: keyof typeof styles): string {
  const key = `${locale.value} ${style}`;
  let format = dates.get(key);
  if (!format) dates.set(key, (format = new Intl.DateTimeFormat(locale.value, styles[style])));
  return format.format(ms);
}
