/** The layout that this browser's owner made. */
import { type Signal, signal } from "@preact/signals";
import { keepValue, keptValue } from "../contract/kept";
import { base } from "../contract/topics";
import { type Layout, layoutFrom } from "./cards";

const KEPT = `boondock.layout.${base}`;

const found = keptValue(KEPT);

/** null: none was made, that of all browsers counts. */
export const own: Signal<Layout | null> = signal(found === null ? null : layoutFrom(found));

export function saveOwn(layout: Layout | null): void {
  own.value = layout;
  keepValue(KEPT, layout);
}
