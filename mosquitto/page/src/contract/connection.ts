/** Keeps the page connected: logs in, subscribes, finds out the user's right, comes back by itself. */
import { signal, type Signal } from "@preact/signals";
import { keepValue, keptValue } from "./kept";
import { begin, forget, receive } from "./house";
import { address, always, base, levels, topic, values } from "./topics";
import { connect, type Connection, type Login, type Message, NOT_AUTHORISED, type Publication, RefusedError } from "./transport";
import type { Right } from "./types";

export type Link = "connecting" | "up" | "down" | "login";

export const link: Signal<Link> = signal("connecting");
/** Why the login is asked for: empty at first, else what the broker said. */
export const refused: Signal<boolean> = signal(false);
/** When the connection was lost, ms of this browser's clock; 0 while it is up. */
export const lostAt = signal(0);
export const right: Signal<Right> = signal("viewer");
export const user: Signal<string> = signal("");

const KEPT = `boondock.login.${base}`;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;
const SETTLED_MS = 1500;

/** The name of this page's answers; nobody else can guess it. */
export const client = `page_${crypto.getRandomValues(new Uint32Array(3)).join("").slice(0, 24)}`;

/** Who gets the answers to requests and commands. */
let onAnswer: (message: Message) => void = () => undefined;

/** Who follows statistics, by topic filter. */
const followers = new Map<string, (message: Message) => void>();

/** Follow the statistics of all devices by `period` until the returned function is called, also over a lost connection; one taker a period. */
export function follow(period: string, taker: (message: Message) => void): () => void {
  const filter = topic.statistics(period);
  followers.set(filter, taker);
  // Without a connection this is done by the next start.
  connection?.subscribe([filter]).catch(() => undefined);
  return () => {
    followers.delete(filter);
    connection?.unsubscribe([filter]).catch(() => undefined);
  };
}

/** Name the taker of answers: contract/requests.ts. */
export function listen(taker: (message: Message) => void): void {
  onAnswer = taker;
}

let connection: Connection | null = null;
let retry = FIRST_RETRY_MS;
let timer = 0;
let login: Login | null = fromAddress() ?? (keptValue(KEPT) as Login | null);

/** Take user and password of a link such as `#user=phone&password=…`, and remove them from the address. */
function fromAddress(): Login | null {
  const said = new URLSearchParams(location.hash.slice(1));
  const name = said.get("user");
  if (!name) return null;
  history.replaceState(null, "", location.pathname + location.search);
  const found = { user: name, password: said.get("password") ?? "" };
  keepValue(KEPT, found);
  return found;
}

/** Log in with a user of the broker. */
export function logIn(found: Login, forLong: boolean): void {
  login = found;
  keepValue(KEPT, found, forLong);
  refused.value = false;
  link.value = "connecting";
  void start();
}

/** Forget the user and ask for another. */
export function logOut(): void {
  login = null;
  keepValue(KEPT, null);
  user.value = "";
  link.value = "login";
  connection?.close();
}

// A link that logs in may be opened where the page is open already.
addEventListener("hashchange", () => {
  const found = fromAddress();
  if (!found) return;
  logOut();
  logIn(found, true);
});

/** Connect now; afterwards the page stays connected by itself. */
export async function start(): Promise<void> {
  clearTimeout(timer);
  if (connection) return;
  const named = new Set<string>();
  const take = (message: Message) => {
    const [kind, id = "", last = ""] = levels(message.topic) ?? [];
    if (kind === "about" && message.payload !== "") named.add(id);
    if (kind === "response") onAnswer(message);
    else if (kind === "statistics") followers.get(topic.statistics(last))?.(message);
    else receive(message);
  };
  try {
    begin();
    connection = await connect(address(), client, login, take, onClose);
  } catch (error) {
    if (error instanceof RefusedError && error.isLogin) {
      refused.value = login !== null;
      link.value = "login";
    } else again();
    return;
  }
  try {
    await connection.subscribe([...always, `${topic.response(client)}/#`, ...followers.keys()]);
    user.value = login?.user ?? "";
    retry = FIRST_RETRY_MS;
    lostAt.value = 0;
    link.value = "up";
    await connection.subscribe([values]);
    setTimeout(() => {
      forget(named);
      connection?.unsubscribe([values]).catch(() => undefined);
    }, SETTLED_MS);
    right.value = await findRight(connection);
  } catch {
    connection?.close(); // it ended meanwhile: onClose comes back to it
  }
}

/** Ask the broker what it lets this user write: both messages do nothing (docs/contract.md). */
async function findRight(on: Connection): Promise<Right> {
  const may = async (name: string) => (await on.publish(name, "", { retain: true })) !== NOT_AUTHORISED;
  if (await may(topic.request("statistician", "dead_letters"))) return "admin";
  return (await may(topic.set("page", "right"))) ? "operator" : "viewer";
}

function onClose(): void {
  connection = null;
  if (link.value !== "login") again();
}

function again(): void {
  if (lostAt.value === 0) lostAt.value = Date.now();
  link.value = "down";
  clearTimeout(timer);
  timer = window.setTimeout(() => void start(), retry * (0.75 + Math.random() / 2));
  retry = Math.min(retry * 2, LAST_RETRY_MS);
}

/** Publish with QoS 1; resolves to the reason code of the broker. Rejects while there is no connection. */
export function publish(name: string, payload: string, options?: Publication): Promise<number> {
  return connection && link.value === "up" ? connection.publish(name, payload, options) : Promise.reject(new Error("offline"));
}

// A phone that wakes up, or finds its network again, does not wait for the next try; one that loses it is told soon.
for (const event of ["online", "offline", "focus", "visibilitychange"]) {
  (event === "visibilitychange" ? document : window).addEventListener(event, () => {
    if (document.hidden) return;
    if (connection) connection.ping();
    else if (link.value === "down") {
      retry = FIRST_RETRY_MS;
      void start();
    }
  });
}
