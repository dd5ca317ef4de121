/** Small parts that several views use. */
import type { ComponentChildren } from "preact";
import { type Device, type Place } from "../contract/house";
import { link } from "../contract/connection";
import { AskError } from "../contract/requests";
import { ago, words } from "../text/format";
import { t } from "../text/words";

/** Whether what a device says is shown as old. */
export function isOld(device: Device): boolean {
  return link.value !== "up" || device.old.value;
}

/** The age of a device's values in words, if it is worth a word. */
export function Age({ device }: { device: Device }) {
  const late = device.late.value;
  const offline = device.online.value === false;
  if (late === null && !offline) return null;
  const said = [offline ? t("offline") : "", late === null ? "" : ago(late)].filter(Boolean);
  return <span class="age">{said.join(", ")}</span>;
}

/** One value with its unit; grey and with its age if it is old. */
export function Reading({ at, class: name = "" }: { at: Place; class?: string }) {
  const { text, unit } = words(at.entity, at.device.value(at.key));
  return (
    <span class={`reading ${name} ${isOld(at.device) ? "old" : ""}`}>
      <span class="number">{text}</span>
      {unit && <span class="unit">{unit}</span>}
    </span>
  );
}

/** A card with a heading; a tap on the heading opens what `onOpen` does. */
export function Panel(props: { id: string; title: string; class?: string; onOpen?: () => void; aside?: ComponentChildren; children: ComponentChildren }) {
  const heading = `title-${props.id}`;
  return (
    <section class={`card ${props.class ?? ""}`} aria-labelledby={heading} data-card={props.id}>
      <header>
        <h2 id={heading}>{props.onOpen ? <button class="link" onClick={props.onOpen}>{props.title}</button> : props.title}</h2>
        {props.aside}
      </header>
      {props.children}
    </section>
  );
}

/** Say in the owner's language why something did not work; the house's own sentence if it gave one. */
export function sentence(error: unknown): string {
  if (!(error instanceof AskError)) return String(error);
  const own = { timeout: "no_answer", rights: "no_right", link: "no_link" } as const;
  return error.code in own ? t(own[error.code as keyof typeof own]) : error.message;
}

/** Points as a thin line without axes; a gap of the data is a gap of the line. */
export function Spark({ points, label }: { points: readonly (readonly [number, number | null])[]; label: string }) {
  const known = points.filter((one): one is [number, number] => one[1] !== null);
  if (known.length < 2) return null;
  const [from, to] = [points[0]![0], points.at(-1)![0]];
  const low = Math.min(...known.map(([, y]) => y));
  const high = Math.max(...known.map(([, y]) => y));
  const step = (to - from) / Math.max(points.length - 1, 1);
  let path = "";
  let before: number | null = null;
  for (const [x, y] of known) {
    const at = `${(((x - from) / (to - from || 1)) * 100).toFixed(2)} ${(29 - ((y - low) / (high - low || 1)) * 28).toFixed(2)}`;
    path += `${before === null || x - before > step * 3 ? "M" : "L"}${at}`;
    before = x;
  }
  return (
    <svg class="spark" viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label={label}>
      <path d={path} />
    </svg>
  );
}
