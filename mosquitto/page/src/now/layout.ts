/** The layout that this browser's owner made. */
import { type Signal, signal } from "@preact/signals";
import { base } from "../contract/topics";
import { type Layout, layoutFrom } from "./cards";

const KEPT = `boondock.layout.${base}`;

function kept(): Layout | null {
  try {
    const said: unknown = JSON.parse(localStorage.getItem(KEPT) ?? "null");
    return said === null ? null : layoutFrom(said);
  } catch {
    return null; // a browser that keeps nothing shows the standard
  }
}

/** null: none was made, that of all browsers counts. */
export const own: Signal<Layout | null> = signal(kept());

export function saveOwn(layout: Layout | null): void {
  own.value = layout;
  try {
    if (layout === null) localStorage.removeItem(KEPT);
    else localStorage.setItem(KEPT, JSON.stringify(layout));
  } catch {
    // It counts until the page is closed.
  }
}
