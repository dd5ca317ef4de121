/** Starts the page: last state first, then the connection. */
import { effect } from "@preact/signals";
import { render } from "preact";
import { App } from "./app";
import { start } from "./contract/connection";
import { keep, recall } from "./contract/house";
import { keepText } from "./contract/kept";
import { offline } from "./kit/offline";
import { view } from "./kit/route";
import { language } from "./text/words";

const root = document.getElementById("page")!;
// Rarely: a wall display writes to a card, too.
const KEEP_EVERY_MS = 300_000;
const FIRST_KEEP_MS = 5000;

effect(() => {
  document.documentElement.lang = language.value;
});

recall();
root.textContent = "";
render(<App />, root);
document.body.className = "";
void start();
offline();

/** Keep the house, and how the first screen looks, for the next start. */
function keepAll(): void {
  keep();
  if (view.value === "now") keepText("boondock.frame", root.innerHTML);
}
addEventListener("pagehide", keepAll);
document.addEventListener("visibilitychange", () => document.hidden && keepAll());
setTimeout(keepAll, FIRST_KEEP_MS);
setInterval(() => !document.hidden && keepAll(), KEEP_EVERY_MS);
