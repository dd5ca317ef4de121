/** Lets a browser install the page and open it without the house: over TLS alone, where nginx serves the files. */
export function offline(): void {
  // Mosquitto names no type of a file, and a browser then takes neither the worker nor the manifest.
  if (location.protocol !== "https:") return;
  for (const [rel, href] of [["manifest", "manifest.webmanifest"], ["apple-touch-icon", "icon-180.png"]] as const) {
    document.head.append(Object.assign(document.createElement("link"), { rel, href }));
  }
  navigator.serviceWorker?.register("sw.js").catch((why: unknown) => console.warn("The page is not kept for later:", why));
}
