/** What the lines are, their values where the person reads, and the numbers of the whole time. */
import type { Place } from "../contract/house";
import { dashOf } from "../kit/axes";
import { sentence } from "../kit/parts";
import { isPartly, rowAt } from "../kit/rows";
import { date, duration, number, words } from "../text/format";
import { t } from "../text/words";
import { lasted, type Look, type State } from "./data";
import type { Shown } from "./load";

/** One entity that is seen, with its colour and dashes. */
export interface Seen {
  name: string;
  title: string;
  at: Place;
  look: Look;
  tone: number;
  shown: Shown;
  states: readonly State[];
  /** How long the whole time is, ms. */
  long: number;
}

export function Swatch({ tone, look }: { tone: number; look: Look }) {
  const ink = `var(--series-${tone})`;
  return (
    <svg class="swatch" width="28" height="14" aria-hidden="true">
      {look === "line"
        ? <path d="M0 7H28" stroke={ink} stroke-width="3" stroke-dasharray={dashOf(tone).join(" ")} />
        : <rect x="4" width="20" height="14" fill={ink} opacity={look === "bars" ? 0.8 : 0.45} />}
    </svg>
  );
}

/** A number of an entity in words, with its unit. */
export function told({ at, shown }: Pick<Seen, "at" | "shown">, value: number | string | null | undefined): string {
  const { text, unit } = words({ ...at.entity, unit: shown.unit ?? at.entity.unit }, value);
  return unit ? `${text} ${unit}` : text;
}

/** The value at the time that is read; of a row all its numbers. */
export function valueAt(seen: Seen, time: number): string {
  if (seen.look === "band") return told(seen, seen.states.find((one) => one.start <= time && time < one.end)?.value ?? null);
  const row = rowAt(seen.shown.rows, time);
  if (!row) return "–";
  const partly = isPartly(row) ? `, ${known(row.coverage!)}` : "";
  if (seen.look === "bars") return `${told(seen, row.change)}${partly}`;
  const spread = typeof row.min === "number" && typeof row.max === "number" && row.max > row.min;
  return `${told(seen, row.mean)}${spread ? ` (${told(seen, row.min)} … ${told(seen, row.max)})` : ""}${partly}`;
}

function known(coverage: number): string {
  return t("known", { share: `${number(Math.floor(coverage * 1000) / 10, coverage < 0.1 || coverage >= 0.995 ? 0 : 1)} %` });
}

/** Spans longer than this name the year, ms. */
const YEAR_MS = 300 * 86_400_000;

/** The numbers of the whole time: a word, a number, and when it was. */
export function numbers(seen: Seen): [string, string, string?][] {
  if (seen.look === "band") return lasted(seen.states).slice(0, 5).map(([value, ms]) => [told(seen, value), duration(ms / 1000)]);
  const { summary } = seen.shown;
  if (!summary) return [];
  const found: [string, string, string?][] = [];
  const dated = seen.long > YEAR_MS;
  const time = (at: number | undefined) => (at === undefined ? undefined : date(at, dated ? "dated" : "both"));
  if (seen.look === "bars") {
    found.push([t("sum"), told(seen, summary.change)]);
    if (summary.best) {
      const { start, end, change } = summary.best;
      const day = end - start > 2 * 3_600_000;
      found.push([t(day ? "best_day" : "best_hour"), told(seen, change), day ? date(start, dated ? "date" : "day") : time(start)]);
    }
  } else {
    found.push([t("lowest"), told(seen, summary.min), time(summary.minAt)]);
    found.push([t("mean"), told(seen, summary.mean)]);
    found.push([t("highest"), told(seen, summary.max), time(summary.maxAt)]);
  }
  if (summary.coverage !== undefined) found.push(["", known(summary.coverage)]);
  return found;
}

export function Legend({ all, read, onRemove }: { all: readonly Seen[]; read: number | null; onRemove: (name: string) => void }) {
  return (
    <ul class="legend">
      {all.map((seen) => (
        <li key={seen.name} class={seen.shown.error ? "wrong" : ""}>
          <p class="what">
            <Swatch tone={seen.tone} look={seen.look} />
            <span>{seen.title}</span>
            <button aria-label={`${t("remove")}: ${seen.title}`} onClick={() => onRemove(seen.name)}>×</button>
          </p>
          {read !== null && <p class="at">{valueAt(seen, read)}</p>}
          {seen.shown.error ? <p class="refusal">{sentence(seen.shown.error)}</p> : (
            <dl>
              {numbers(seen).map(([word, text, time]) => (
                <div key={word || text}>{word && <dt>{word}</dt>}<dd>{text}{time && <small> {time}</small>}</dd></div>
              ))}
            </dl>
          )}
        </li>
      ))}
    </ul>
  );
}
