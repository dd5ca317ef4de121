/** The small drawing of where energy comes from and goes to. */
import type { Place } from "../contract/house";
import { number, scaled } from "../text/format";
import { t, type Word } from "../text/words";
import { having } from "./cards";
import { watts } from "./energy";
import type { Role } from "../contract/types";

interface Node {
  word: Word;
  x: number;
  y: number;
  /** Watts towards the middle; null if nothing measures it. */
  watts: number | null;
}

const SHOWN_W = 1;

function power(value: number): string {
  const { unit, factor } = scaled("W", value);
  return `${number(Math.abs(value) * factor, factor === 1 ? 0 : 2)} ${unit}`;
}

/** Watts of each end of the drawing, towards the middle; what nothing measures is the rest. Pure but for the values. */
export function nodes(places: readonly Place[]): Node[] {
  const of = (role: Role) => watts(having(places, role, "power"));
  const is = (role: Role) => having(places, role, "power").length > 0;
  const found: Node[] = [];
  if (is("solar")) found.push({ word: "sun", x: 60, y: 44, watts: of("solar") });
  if (is("grid")) found.push({ word: "shore", x: 160, y: 44, watts: of("grid") });
  for (const role of ["charger", "alternator", "generator"] as const) {
    // What charges from shore is measured once, at the shore, if there is a meter.
    if (is(role) && !(role === "charger" && is("grid"))) found.push({ word: role, x: 260, y: 44, watts: of(role) });
  }
  const battery = of("battery");
  if (is("battery")) found.push({ word: "battery", x: 60, y: 146, watts: battery === null ? null : -battery });
  const loads = of("load");
  if (is("load")) found.push({ word: "loads", x: 260, y: 146, watts: loads === null ? null : -loads });
  const known = found.filter((one): one is Node & { watts: number } => one.watts !== null);
  const rest = -known.reduce((sum, one) => sum + one.watts, 0);
  if (is("battery") && known.length === found.length && Math.abs(rest) >= SHOWN_W) found.push({ word: rest < 0 ? "rest" : "unmeasured", x: 160, y: 146, watts: rest });
  return found;
}

export function Flow({ places }: { places: readonly Place[] }) {
  const list = nodes(places);
  const said = list.map((one) => `${t(one.word)} ${one.watts === null ? "–" : `${one.watts < 0 ? "←" : "→"} ${power(one.watts)}`}`).join(", ");
  return (
    <svg class="flow" viewBox="0 0 320 205" role="img" aria-label={said}>
      {list.map((one) => {
        const moves = one.watts !== null && Math.abs(one.watts) >= SHOWN_W;
        const [from, to] = (one.watts ?? 0) >= 0 ? [`${one.x} ${one.y}`, "160 95"] : ["160 95", `${one.x} ${one.y}`];
        return (
          <g key={one.word} class={moves ? "moves" : ""}>
            <path d={`M${from}L${to}`} />
            <circle cx={one.x} cy={one.y} r="5" />
            <text x={one.x} y={one.y < 95 ? 14 : one.x === 160 ? 199 : 183}>{t(one.word)}</text>
            <text class="watts" x={one.x} y={one.y < 95 ? 30 : 166}>{one.watts === null ? "–" : power(one.watts)}</text>
          </g>
        );
      })}
      <circle cx="160" cy="95" r="7" class="middle" />
    </svg>
  );
}
