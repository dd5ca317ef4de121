/** What was before a change and what is after it, in one chart. */
import { t } from "../text/words";
import { Chart } from "./chart";
import type { Span } from "./gestures";
import { dashOf } from "./axes";
import type { Row, Series } from "./rows";

export interface Compared extends Span {
  before: readonly Row[];
  after: readonly Row[];
  look: "line" | "bars";
  unit: string;
  /** Where the change is one of the unit. */
  unitAfter?: string;
  decimals?: number;
}

/** The same change the other way round. */
export function reversed(one: Compared): Compared {
  return { ...one, before: one.after, after: one.before, unit: one.unitAfter ?? one.unit, unitAfter: one.unit };
}

const TONES = { before: 2, after: 1 } as const;

function seriesOf(one: Compared): Series[] {
  const { look, decimals } = one;
  return [
    { name: t("before"), rows: one.before, unit: one.unit, look, tone: TONES.before, decimals, faint: look === "bars" },
    { name: t("after"), rows: one.after, unit: one.unitAfter ?? one.unit, look, tone: TONES.after, decimals },
  ];
}

function Key({ what }: { what: keyof typeof TONES }) {
  return (
    <li>
      <svg class="swatch" width="28" height="14" aria-hidden="true">
        <path d="M0 7H28" stroke={`var(--series-${TONES[what]})`} stroke-width="3" stroke-dasharray={dashOf(TONES[what]).join(" ")} />
      </svg>{" "}
      {t(what)}
    </li>
  );
}

export function Compare({ compared, label }: { compared: Compared; label: string }) {
  return (
    <figure class="compare">
      <ul class="options"><Key what="before" /><Key what="after" /></ul>
      <Chart series={seriesOf(compared)} from={compared.from} to={compared.to} label={`${label}: ${t("before")}, ${t("after")}`} />
    </figure>
  );
}
