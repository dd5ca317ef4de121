/** Keeps the page for when the house is out of reach: the newest that was loaded. It keeps no values. */
const KEPT = "boondock";
const PAGE = "./";
const PATIENCE_MS = 2000;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((cache) => cache.add(PAGE)).then(() => self.skipWaiting()));
});
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  if (event.request.mode === "navigate") event.respondWith(load(event));
});

/** The house's page, or the kept one if the house is silent, away, or has none to give. */
async function load(event) {
  const cache = await caches.open(KEPT);
  const kept = await cache.match(PAGE);
  const loaded = fetch(event.request).then(async (answer) => {
    if (answer.ok) await cache.put(PAGE, answer.clone());
    return answer.ok || !kept ? answer : kept;
  });
  if (!kept) return loaded;
  const fresh = loaded.catch(() => kept);
  event.waitUntil(fresh);
  return Promise.race([fresh, new Promise((take) => setTimeout(take, PATIENCE_MS, kept))]);
}
