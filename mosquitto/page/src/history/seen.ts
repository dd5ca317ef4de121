/** From the choice and the answers to what is drawn. */
import { houseNow, type Place, place } from "../contract/house";
import type { Span } from "../kit/gestures";
import { isOld } from "../kit/parts";
import type { Row, Series } from "../kit/rows";
import { nameOf, roleOf } from "../now/cards";
import { decimals, option } from "../text/format";
import type { Band } from "./bands";
import { lookOf, statesOf, type Told } from "./data";
import { told as inWords, type Seen } from "./legend";
import { NOTHING, type Shown } from "./load";
import { MOST_SERIES } from "./ranges";

/** What is shown if nothing was chosen: the battery's charge and power, else the first numbers. */
export function usual(all: readonly Place[]): string[] {
  const battery = all.filter((one) => roleOf(one) === "battery");
  const charge = battery.find((one) => one.entity.unit === "%");
  const power = battery.find((one) => one.device === charge?.device && one.entity.device_class === "power");
  const found = charge ? [charge, power] : all.filter((one) => lookOf(one.entity) === "line" && !one.entity.diagnostic).slice(0, 2);
  return found.flatMap((one) => (one ? [nameOf(one)] : []));
}

/** What is known so far of each chosen entity that a device reports; those that none does are left out. */
export function seenOf(names: readonly string[], shown: ReadonlyMap<string, Shown>, span: Span): Seen[] {
  return names.slice(0, MOST_SERIES).flatMap((name, at) => {
    const found = place(name);
    const one = shown.get(name);
    if (!found) return [];
    const look = lookOf(found.entity);
    const known = one?.look === look ? one : NOTHING;
    const until = { from: span.from, to: Math.min(span.to, houseNow()) };
    return [{ name, title: `${found.device.about.value.name}: ${found.entity.name}`, at: found, look, tone: at + 1, shown: known, states: statesOf(known.states, until), long: span.to - span.from }];
  });
}

/** The rows with the value of just now at their end, if they come from states and the device is heard. */
function withTail({ at, shown }: Seen): readonly Row[] {
  const last = shown.rows.at(-1);
  const value = at.device.value(at.key);
  const heard = at.device.heard.value;
  if (!last || typeof value !== "number" || heard <= last.end || heard - last.end > 3 * (last.end - last.start) + 15_000 || isOld(at.device)) return shown.rows;
  return [...shown.rows, { start: last.end, end: heard, mean: value, min: value, max: value }];
}

/** The lines and bars of a chart, each with its period before behind it. */
export function seriesOf(all: readonly Seen[], live: boolean): Series[] {
  return all.filter((one) => one.look !== "band").flatMap((one): Series[] => {
    const { at, shown, tone, title } = one;
    const look = one.look === "bars" ? "bars" : "line";
    const common = { unit: shown.unit ?? at.entity.unit ?? "", look, tone, decimals: decimals(at.entity) } as const;
    const rows = live && shown.period === "states" ? withTail(one) : shown.rows;
    const before: Series[] = shown.before.length > 0 ? [{ ...common, name: "", rows: shown.before, faint: true }] : [];
    return [...before, { ...common, name: title, rows }];
  });
}

/** The bands of switches and words. ON is strong, OFF is weak; options are as strong as their place in the list. */
export function bandsOf(all: readonly Seen[]): Band[] {
  return all.filter((one) => one.look === "band").map((one) => ({
    name: one.title,
    tone: one.tone,
    states: one.states,
    say: (value) => (one.at.entity.options || one.at.entity.boolean ? inWords(one, value) : option(value)),
    strength(value) {
      const { options } = one.at.entity;
      if (!options) return value === "OFF" ? 0 : 1;
      return (options.indexOf(value) + 1) / options.length;
    },
  }));
}

/** What a table or a file has of it. */
export function toldOf(all: readonly Seen[]): Told[] {
  return all.map((one) => ({
    name: one.title,
    unit: one.look === "band" ? "" : (one.shown.unit ?? one.at.entity.unit ?? ""),
    look: one.look,
    rows: one.shown.rows,
    states: one.states.map((state) => ({ ...state, value: state.value === null ? null : inWords(one, state.value) })),
  }));
}
