/** What a fix would change, or has changed, as a sentence. */
import { date, decimals, number } from "../text/format";
import { t, type Word } from "../text/words";

/** The answer of a fix (docs/requests.md); counts that are 0 are left out of it. */
export interface Summary {
  entities: string[];
  more_entities?: number;
  dry_run?: boolean;
  id?: number;
  undone?: number;
  five_minute_rows?: number;
  hourly_rows?: number;
  states?: number;
  periods?: number;
  fields?: Record<string, string | number | boolean | null>;
  /** What a dry run of undo would bring back: time and value. */
  brought_back?: [string, number | null][];
}

const COUNTS: readonly (readonly ["states" | "five_minute_rows" | "hourly_rows" | "periods", Word])[] = [
  ["states", "count_states"], ["five_minute_rows", "count_5minute"], ["hourly_rows", "count_hours"], ["periods", "count_periods"],
];

/** What it touches: "mppt.voltage (values: 5, periods computed again: 295)." */
export function touched(said: Summary): string {
  const names = said.entities.slice(0, 4).join(", ");
  const others = said.entities.length - 4 + (said.more_entities ?? 0);
  const counts = COUNTS.flatMap(([key, word]) => (said[key] ? [t(word, { count: number(said[key]!) })] : []));
  const fields = Object.entries(said.fields ?? {}).map(([key, value]) => `${key} = ${value ?? "–"}`);
  const what = [...counts, ...fields].join(", ");
  return `${names}${others > 0 ? ` ${t("and_more", { count: number(others) })}` : ""}${what ? ` (${what})` : ""}.`;
}

/** A time in a sentence. */
export function at(ms: number): string {
  return date(ms, "full");
}

/** An amount with its unit; what is whole but for the rounding of the computer is written whole. */
export function amount(value: number, unit: string | null | undefined): string {
  const exact = Number(value.toPrecision(10));
  return `${number(exact, decimals({ name: "" }, 1, exact))} ${unit ?? ""}`.trim();
}
