/** The only file that spells topics; the base is told by the file that was served. */

function meta(name: string): string {
  return document.querySelector<HTMLMetaElement>(`meta[name="boondock-${name}"]`)?.content ?? "";
}

export const base = meta("base") || "camper";

/** The address of the broker's WebSocket: a whole address, a port, or the place that served the page. */
export function address(): string {
  const said = meta("ws");
  if (/^wss?:/.test(said)) return said;
  const secure = location.protocol === "https:" ? "wss" : "ws";
  const host = location.hostname || "127.0.0.1";
  const port = said || location.port;
  return `${secure}://${host}${port ? `:${port}` : ""}/mqtt`;
}

export const topic = {
  about: (device: string) => `${base}/about/${device}`,
  set: (device: string, entity: string) => `${base}/set/${device}/${entity}`,
  request: (service: string, verb: string) => `${base}/request/${service}/${verb}`,
  response: (client: string) => `${base}/response/${client}`,
  page: () => `${base}/page`,
  statistics: (period: string) => `${base}/statistics/+/${period}`,
};

/** What the page listens to from its first second on. */
export const always = ["about/+", "state/+", "availability/+", "service/+", "health/+", "alarm/+", "page"].map(
  (filter) => `${base}/${filter}`,
);

/** Each entity's newest value: what a device's newest reading leaves out. Read once, after a connect. */
export const values = `${base}/state/+/+`;

/** Split a topic below the base into its levels; null if it is none of ours. */
export function levels(name: string): string[] | null {
  return name.startsWith(`${base}/`) ? name.slice(base.length + 1).split("/") : null;
}
