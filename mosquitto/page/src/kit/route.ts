/** Which view is open, kept in the address: `#history?e=smartshunt.soc&e=mppt.power`. */
import { computed, signal } from "@preact/signals";

export const VIEWS = ["now", "history", "house", "mend"] as const;
export type View = (typeof VIEWS)[number];

const hash = signal(location.hash);
addEventListener("hashchange", () => (hash.value = location.hash));

export const view = computed<View>(() => VIEWS.find((one) => hash.value.slice(1).split("?")[0] === one) ?? "now");
export const query = computed(() => new URLSearchParams(hash.value.split("?")[1] ?? ""));

/** Open a view; with `instead` the way back does not lead here. */
export function go(to: View, parameters: [string, string][] = [], instead = false): void {
  const said = `#${to}${parameters.length > 0 ? `?${new URLSearchParams(parameters)}` : ""}`;
  if (instead) location.replace(said);
  else location.hash = said;
}
